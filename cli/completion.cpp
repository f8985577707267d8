#include "cli/completion.h"

#include <fmt/format.h>

#include "cli/nearest.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

constexpr const char* kBash = R"(# bash completion for tplab: the program itself knows its words.
_tplab() {
  local -a answer words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  mapfile -t answer < <("${COMP_WORDS[0]}" help --complete -- "${words[@]}" 2>/dev/null)
  COMPREPLY=()
  local current=${COMP_WORDS[COMP_CWORD]}
  if [ "${answer[0]-}" = files ]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
  COMPREPLY+=("${answer[@]:1}")
}
complete -F _tplab tplab
)";

constexpr const char* kZsh = R"(#compdef tplab
# zsh completion for tplab: the program itself knows its words.
_tplab() {
  local -a answer
  answer=("${(@f)$("${words[1]}" help --complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ ${answer[1]} == files ]] && _files
  (( ${#answer} > 1 )) && compadd -- "${(@)answer[2,-1]}"
}
if [ "${funcstack[1]}" = "_tplab" ]; then
  _tplab "$@"
else
  compdef _tplab tplab
fi
)";

constexpr const char* kFish = R"(# fish completion for tplab: the program itself knows its words.
function __tplab_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l answer ($words[1] help --complete -- $words[2..-1] "$current" 2>/dev/null)
  if test "$answer[1]" = files
    __fish_complete_path "$current"
  end
  printf '%s\n' $answer[2..-1]
end
complete -c tplab -f -a '(__tplab_complete)'
)";

bool takes_file(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.starts_with("FILE") || type == "PATH" || type == "FOLDER";
}

// What a place for a value may hold.
void add_values(const CLI::Option& option, bool& files, Words& words) {
  files = files || takes_file(option);
  for (const std::string& word : words_of(option)) words.push_back(word);
}

}  // namespace

std::string completions(const CLI::App& tplab, const Words& words) {
  const std::string current = words.empty() ? "" : words.back();
  Words before(words.begin(), words.empty() ? words.end() : words.end() - 1);
  std::erase(before, "=");  // bash takes --tp=2 for three words
  const Called called = find_called(tplab, before);
  const Arguments read = read_arguments(*called.app, before, called.words);
  bool files = false;
  Words known;
  if (read.awaits) {
    add_values(*read.awaits, files, known);
  } else if (current.starts_with('-')) {
    known = option_names(*called.app);
  } else {
    known = names_of(commands_of(*called.app));
    size_t place = read.positionals.size();
    for (const CLI::Option* option : called.app->get_options())
      if (option->get_positional() && place-- == 0) add_values(*option, files, known);
    if (known.empty() && !files) known = option_names(*called.app);
  }
  std::string text = files ? "files\n" : "words\n";
  for (const std::string& word : known)
    if (word.starts_with(current)) text += word + "\n";
  return text;
}

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  fail(fmt::format("there is no completion for {}", shell), "use bash, zsh or fish");
}

}  // namespace tplab::cli
