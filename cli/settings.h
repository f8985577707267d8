// Options that a training run remembers: saved with its checkpoint, and taken up again by --resume
// unless the command line says otherwise.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tplab::cli {

class Settings {
 public:
  // An option --name whose value is remembered.
  template <class T>
  CLI::Option* add(CLI::App& app, const std::string& name, T& value, const std::string& help) {
    return remember(name, value, app.add_option("--" + name, value, help)->capture_default_str());
  }
  CLI::Option* add_flag(CLI::App& app, const std::string& name, bool& value,
                        const std::string& help) {
    return remember(name, value, app.add_flag("--" + name + ",!--no-" + name, value, help));
  }

  bool given(const std::string& name) const {  // on the command line
    return std::any_of(settings_.begin(), settings_.end(),
                       [&](const Setting& s) { return s.name == name && s.option->count() > 0; });
  }
  nlohmann::json to_json() const {
    nlohmann::json json;
    for (const Setting& s : settings_) json[s.name] = s.get();
    return json;
  }
  // Fills what the command line did not give. Unknown names are left alone; throws
  // nlohmann::json::exception for a value of the wrong type.
  void restore(const nlohmann::json& json) {
    for (const Setting& s : settings_)
      if (s.option->count() == 0 && json.contains(s.name)) s.set(json.at(s.name));
  }

 private:
  struct Setting {
    std::string name;
    CLI::Option* option;
    std::function<nlohmann::json()> get;
    std::function<void(const nlohmann::json&)> set;
  };
  template <class T>
  CLI::Option* remember(const std::string& name, T& value, CLI::Option* option) {
    settings_.push_back({name, option, [&value] { return nlohmann::json(value); },
                         [&value](const nlohmann::json& j) { j.get_to(value); }});
    return option;
  }
  std::vector<Setting> settings_;
};

}  // namespace tplab::cli
