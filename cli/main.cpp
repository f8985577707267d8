// The tplab command: finds the subcommand and turns errors into messages and exit codes.
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <system_error>
#include <thread>

#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/help.h"
#include "cli/launched.h"
#include "cli/usage.h"
#include "model/files/bytes.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace {

constexpr const char* kExamples = R"(Examples:
  tplab verify --preset nano-cpu --tp 1,2,4        split a model, prove it right, count its bytes
  tplab verify --checkpoint ckpt.pt --tp 2         the same for a checkpoint of yours
  tplab verify --backward --preset nano-cpu        the same for gradients and optimizer steps
  tplab info --preset gpt2 --tp 4                  how each tensor is split, what a rank holds
  tplab generate --checkpoint ckpt.pt --prompt "To be"
  tplab train --text input.txt --tp 2              train a character model; Ctrl-C saves
  tplab trace --preset nano --tp 2 -o trace.json   who computes, waits and sends, for Perfetto
  tplab export --checkpoint ckpt.pt -o exported    for programs that load Hugging Face's GPT-2
  tplab draw shards --preset gpt2 --tp 4           which part each rank holds, as a picture
  tplab bench decode --preset gpt2                 how close to the memory's limit
  tplab bench train --preset nano-cpu              training steps on meshes side by side
  tplab explore -o explore.html                    step through a pass, in a browser
  tplab monitor -- build/tplab train --steps 100   what GPUs did while a command ran
Exit codes: 0 good, 1 verification failed, 2 usage, 3 bad input file, 4 not available here; 130
after Ctrl-C.)";

void add_commands(CLI::App& app, int& exit_code, const std::optional<tplab::cli::Words>& watched) {
  tplab::cli::add_verify(app, exit_code);
  tplab::cli::add_generate(app, exit_code);
  tplab::cli::add_train(app, exit_code);
  tplab::cli::add_trace(app, exit_code);
  tplab::cli::add_tokenize(app, exit_code);
  tplab::cli::add_info(app, exit_code);
  tplab::cli::add_export(app, exit_code);
  tplab::cli::add_draw(app, exit_code);
  tplab::cli::add_bench(app, exit_code);
  tplab::cli::add_explore(app, exit_code);
  tplab::cli::add_monitor(app, exit_code, watched);
  tplab::cli::add_doctor(app, exit_code);
  tplab::cli::add_help(app, TPLAB_VERSION);
  tplab::cli::add_config(app);
  tplab::cli::refuse_empty_paths(app);
}

void parse(CLI::App& app, const tplab::cli::Words& words) {
  try {
    app.parse(tplab::cli::Words(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", tplab::cli::help_on(app, words));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) tplab::cli::refuse(app, words, e);
    app.exit(e);
  }
}

int run(int argc, char** argv, tplab::cli::Launched& launched) {
  CLI::App app("tplab: a laboratory for tensor parallelism", "tplab");
  app.formatter(tplab::cli::help_formatter());
  app.footer(kExamples);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "help of every command");
  app.set_version_flag("--version", "tplab " TPLAB_VERSION);
  int exit_code = 0;
  tplab::cli::Words words(argv + 1, argv + argc);
  add_commands(app, exit_code, tplab::cli::take_watched(words));

  if (words.empty()) {  // as git does: help, and no success
    fmt::print("{}", tplab::cli::short_help(app, tplab::cli::terminal_columns()));
    return static_cast<int>(tplab::ErrorKind::usage);
  }
  tplab::cli::check_order(app, words);
  const tplab::cli::Words given = words;
  words = tplab::cli::with_config(app, given);
  launched.join(words);
  try {
    parse(app, words);
  } catch (const tplab::Error& error) {
    if (const auto in_file = tplab::cli::of_config(error, given, words)) throw *in_file;
    throw;
  }
  return exit_code;
}

// What went wrong, and the exit code.
tplab::Ending refusal(const std::exception_ptr& thrown) {
  const tplab::Error error = tplab::as_error(thrown);
  const char* const bug = "\n  fix: this is a bug in tplab; please report it";
  tplab::Ending ending{static_cast<int>(error.kind()),
                       fmt::format("{}{}", error.what(), error.fix().empty() ? bug : "")};
  try {
    std::rethrow_exception(thrown);
  } catch (const tplab::PeerFailed&) {
    ending.released = true;
  } catch (...) {  // all that there is to say is said
  }
  return ending;
}

int guarded_run(int argc, char** argv) {
  try {
    tplab::cli::Launched launched;
    tplab::Ending ending;
    try {
      ending.exit_code = run(argc, argv, launched);
      errno = 0;
      if (std::fflush(stdout) != 0)  // help, for one
        tplab::fail_write("stdout: could not be written", errno, "give it a place that can be");
    } catch (...) {
      ending = refusal(std::current_exception());
    }
    ending = launched.leave(ending);
    if (!ending.message.empty()) tplab::cli::to_stderr("tplab: {}\n", ending.message);
    return ending.exit_code;
  } catch (const std::bad_alloc&) {  // not even for those words
    std::fputs("tplab: out of memory\n  fix: use a smaller model, batch or sequence\n", stderr);
    return static_cast<int>(tplab::ErrorKind::unavailable);
  }
}

// Threads, and so ranks, get this much stack whatever `ulimit -s` says: products work on the stack.
constexpr size_t kStackBytes = 2 << 20;

// The same with enough stack for it: where the process has little, on a thread that has.
int run_with_stack(int argc, char** argv) {
  rlimit stack = {};
  if (getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur >= kStackBytes)
    return guarded_run(argc, argv);
  int exit_code = 0;
  try {
    std::thread([&] { exit_code = guarded_run(argc, argv); }).join();
  } catch (const std::system_error&) {
    const tplab::Ending ending = refusal(std::current_exception());
    tplab::cli::to_stderr("tplab: {}\n", ending.message);
    return ending.exit_code;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that has enough (| head) ends us quietly, even if our parent ignores the signal.
  std::signal(SIGPIPE, SIG_DFL);
  // A file that may not grow (ulimit -f) is an error like a full disk, not the end of us.
  std::signal(SIGXFSZ, SIG_IGN);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
  return run_with_stack(argc, argv);
}
