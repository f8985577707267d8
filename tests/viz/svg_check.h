// Checks of an SVG that share nothing with what wrote it: is it XML, and does it name things twice,
// run a script or put one text on another.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

namespace tplab::testing {

struct SvgText {
  double x, y, width, height;  // estimated, of the letters
  std::string text;
};

// Reads elements, attributes and entities; no doctype, no CDATA. What is wrong first, or empty.
class SvgCheck {
 public:
  explicit SvgCheck(const std::string& text) : text_(text) { read(); }

  const std::string& problem() const { return problem_; }
  const std::vector<SvgText>& texts() const { return texts_; }
  // The first two texts of which one lies on the other; empty if none do.
  std::string overlap() const {
    for (size_t i = 0; i < texts_.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        if (cover(texts_[i], texts_[j])) return texts_[j].text + " and " + texts_[i].text;
    return "";
  }

 private:
  static bool cover(const SvgText& a, const SvgText& b) {
    return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height &&
           b.y < a.y + a.height;
  }
  void refuse(const std::string& what) {
    if (problem_.empty()) problem_ = what;
    at_ = text_.size();
  }
  bool skip(const std::string& what) {
    if (text_.compare(at_, what.size(), what) != 0) return false;
    at_ += what.size();
    return true;
  }
  std::string until(char end) {
    const size_t from = at_;
    at_ = std::min(text_.find(end, at_), text_.size());
    return text_.substr(from, at_++ - from);
  }
  void check_text(const std::string& text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '<') return refuse("a < in a text");
      if (text[i] != '&') continue;
      const std::string entity = text.substr(i + 1, text.find(';', i) - i - 1);
      const std::set<std::string> known = {"amp", "lt", "gt", "quot", "apos"};
      if (entity.empty() || (entity[0] != '#' && !known.contains(entity)))
        return refuse("the entity &" + entity + ";");
    }
  }
  static double number(const std::string& tag, const std::string& name) {
    const size_t at = tag.find(" " + name + "=\"");
    return at == std::string::npos ? 0 : std::atof(tag.c_str() + at + name.size() + 3);
  }
  void note_text(const std::string& tag, std::string text) {
    text.erase(0, text.find_first_not_of(' '));  // as a browser does
    text.erase(text.find_last_not_of(' ') + 1);
    size_t letters = 0;  // an entity is one, and so is a character of several bytes
    bool in_entity = false;
    for (const char c : text) {
      if (c == '&') in_entity = true;
      if (!in_entity && (static_cast<unsigned char>(c) & 0xc0u) != 0x80u) ++letters;
      if (c == ';' && in_entity) in_entity = false, ++letters;
    }
    const double font = number(tag, "font-size");
    const double width = 0.52 * font * static_cast<double>(letters);  // narrow, to be sure
    const bool middle = tag.find("text-anchor=\"middle\"") != std::string::npos;
    const double x = number(tag, "x") - (middle ? width / 2 : 0);
    if (letters > 0) texts_.push_back({x, number(tag, "y") - 0.7 * font, width, 0.7 * font, text});
  }
  void read_tag(std::vector<std::string>& open) {
    const std::string tag = until('>');
    if (tag.empty() || at_ > text_.size()) return refuse("a tag that does not end");
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return refuse("unexpected <" + tag + ">");
      open.pop_back();
      return;
    }
    const std::string name = tag.substr(0, tag.find_first_of(" \n/"));
    if (name == "script" || name[0] == '!') return refuse("a <" + name + ">");
    check_attributes(tag.substr(name.size()));
    if (tag.back() != '/') open.push_back(name);
    if (name != "text") return;
    const size_t end = text_.find('<', at_);
    note_text(tag, text_.substr(at_, end - at_));
  }
  void check_attributes(const std::string& text) {
    std::set<std::string> names;
    for (size_t i = text.find_first_not_of(" \n"); i < text.size() && text[i] != '/';
         i = text.find_first_not_of(" \n", i)) {
      const size_t equals = text.find('=', i);
      const size_t end = text.find('"', equals + 2);
      if (equals == std::string::npos || text[equals + 1] != '"' || end == std::string::npos)
        return refuse("an attribute of <" + text + ">");
      const std::string name = text.substr(i, equals - i);
      const std::string value = text.substr(equals + 2, end - equals - 2);
      if (!names.insert(name).second) return refuse("two attributes " + name);
      if (name == "id" && !ids_.insert(value).second) return refuse("two elements of id " + value);
      if (name.starts_with("on")) return refuse("the attribute " + name);
      check_text(value);
      i = end + 1;
    }
  }
  void read() {
    if (!skip("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")) return refuse("no XML declaration");
    std::vector<std::string> open;
    while (at_ < text_.size()) {
      const size_t from = at_;
      at_ = std::min(text_.find('<', at_), text_.size());
      check_text(text_.substr(from, at_ - from));
      if (at_ == text_.size()) break;
      ++at_;
      read_tag(open);
    }
    if (!open.empty()) refuse("<" + open.back() + "> is not closed");
  }

  const std::string& text_;
  size_t at_ = 0;
  std::string problem_;
  std::vector<SvgText> texts_;
  std::set<std::string> ids_;
};

}  // namespace tplab::testing
