// tplab tokenize: text to token ids, and with --decode back.
#include <fmt/format.h>

#include "cli/command.h"
#include "model/tokenizers/tokenizer.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

struct TokenizeCommand {
  Output output;
  std::string tokenizer;
  std::vector<std::string> words;  // the text, or ids
  bool decode = false, special = true;

  void run();
  std::string input() const;
};

std::string TokenizeCommand::input() const {
  if (words.empty() || (words.size() == 1 && words[0] == "-")) return read_stdin();
  if (decode) return fmt::format("{}", fmt::join(words, " "));
  if (words.size() > 1)
    fail(fmt::format("{} texts were given", words.size()),
         "put the text in quotes; for ids, add --decode");
  return words[0];
}

void TokenizeCommand::run() {
  output.open({tokenizer});
  const std::unique_ptr<Tokenizer> known = open_tokenizer(tokenizer);
  if (decode) {
    const std::string text = known->decode(parse_ids(input()));
    if (output.json()) {
      output.document({{"text", text}});
    } else {
      output.text(text);  // exactly these bytes
      if (output.terminal() && !text.ends_with('\n')) output.text("\n");
    }
  } else {
    const std::vector<int> ids =
        known->encode(input(), special ? SpecialTokens::allow : SpecialTokens::as_text);
    if (output.json())
      output.document({{"ids", ids}});
    else
      output.text(fmt::format("{}\n", fmt::join(ids, " ")));
  }
  output.close();
}

}  // namespace

void add_tokenize(CLI::App& app, int&) {
  auto command = std::make_shared<TokenizeCommand>();
  CLI::App* sub = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  sub->footer(R"(Examples:
  tplab tokenize --tokenizer gpt2/ "Hello world"
  tplab tokenize --tokenizer meta.pkl < input.txt > ids.txt
  tplab tokenize --tokenizer gpt2/ --decode 15496 995
stdin is taken byte for byte, its last newline too; --decode adds none, except on a terminal.
<|endoftext|> and other tokens that the tokenizer's files list are tokens where a text has them
written out, as in Hugging Face's and nanoGPT's programs; --no-special takes the characters.)");
  sub->add_option("text", command->words, "text, or ids after --decode; stdin if absent or -");
  sub->add_option("--tokenizer", command->tokenizer,
                  "meta.pkl, a Hugging Face folder or tokenizer.json, or what tplab train wrote")
      ->type_name("PATH")
      ->required();
  sub->add_flag("--decode", command->decode,
                "from ids, separated by spaces, commas or newlines, to text");
  add_special(*sub, command->special, ",--allow-special");  // as 0.1.0 named it
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
