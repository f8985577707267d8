#include "cli/parallelism_options.h"

#include <type_traits>

#include "cli/command.h"

namespace tplab::cli {

void add_parallelism(CLI::App& app, Parallelism& parallelism,
                     const std::function<void(CLI::Option&)>& each,
                     const std::function<bool(const std::string& name)>& wanted) {
  for_each_option(parallelism, [&](const std::string& name, auto& value, const char* help) {
    if (wanted && !wanted(name)) return;
    using Value = std::remove_reference_t<decltype(value)>;
    CLI::Option* option = nullptr;
    if constexpr (std::is_same_v<Value, bool>) {
      option = app.add_flag("--" + name, value, help);
    } else if constexpr (std::is_same_v<Value, Zero>) {  // checked by Parallelism::check
      option = app.add_option("--" + name, value, help)->type_name("0|1|2")->default_str("0");
    } else {
      option =
          app.add_option("--" + name, value, help)->check(whole_number(1))->capture_default_str();
    }
    if (each) each(*option);
  });
}

}  // namespace tplab::cli
