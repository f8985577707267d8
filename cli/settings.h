// Options that a training run remembers: saved with its checkpoint, and taken up again by --resume
// unless the command line says otherwise. One rule a setting holds for both.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/files/json.h"

namespace tplab::cli {

// What a setting's text may be: what is wrong with it, or nothing.
using Rule = std::function<std::string(const std::string& text)>;

CLI::Validator as_validator(const Rule& rule);

Rule whole_from(int32_t least);  // to 2^31 - 1, so that the product of two fits
Rule seed_rule();                // a whole number from 0 to 2^64 - 1
Rule finite_from_zero();
Rule part_of_one();  // a number from 0 to less than 1

class Settings {
 public:
  // An option --name whose value is remembered.   REQUIRES: a rule for every number
  template <class T>
  CLI::Option* add(CLI::App& app, const std::string& name, T& value, const std::string& help,
                   const Rule& rule = {}) {
    CLI::Option* option = app.add_option("--" + name, value, help)->capture_default_str();
    if (rule) option->check(as_validator(rule));
    return remember(name, value, option, rule);
  }
  // One that takes one of these words.
  CLI::Option* add_words(CLI::App& app, const std::string& name, std::string& value,
                         const std::string& help, const std::vector<std::string>& words);
  CLI::Option* add_flag(CLI::App& app, const std::string& name, bool& value,
                        const std::string& help) {
    CLI::Option* flag = app.add_flag("--" + name + ",!--no-" + name, value, help);
    return remember(name, value, flag->default_str(value ? "true" : "false"), {});
  }

  bool given(const std::string& name) const;  // on the command line
  bool any_given(std::initializer_list<const char*> names) const;
  nlohmann::json to_json() const;

  // Fills what the command line did not give. Unknown names are left alone, and of one that is
  // missing a note says which value is taken. Throws Error(bad_file), which names the file and the
  // setting, for a value of another kind or against its rule.
  void restore(const std::string& path, const nlohmann::json& json);

 private:
  struct Setting {
    std::string name;
    CLI::Option* option;
    Rule rule;
    std::function<nlohmann::json()> get;
    std::function<void(const nlohmann::json&)> set;
  };
  template <class T>
  CLI::Option* remember(const std::string& name, T& value, CLI::Option* option, const Rule& rule) {
    Setting setting{name, option, rule, [&value] { return nlohmann::json(value); },
                    [&value](const nlohmann::json& j) { j.get_to(value); }};
    if constexpr (std::is_same_v<T, std::string>) {  // a path may be any bytes
      setting.get = [&value] { return nlohmann::json(to_json_string(value)); };
      setting.set = [&value](const nlohmann::json& j) {
        value = from_json_string(j.get_ref<const std::string&>());
      };
    }
    settings_.push_back(std::move(setting));
    return option;
  }
  static void restore(const Setting& setting, const std::string& path, const nlohmann::json& value);

  std::vector<Setting> settings_;
};

}  // namespace tplab::cli
