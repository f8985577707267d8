// What `cmake --install` leaves works from anywhere: the command, its man page, shells' completion.
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
namespace fs = std::filesystem;

// Installed once for all cases.
const std::string& prefix() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    std::string to = folder / "prefix";
    const Ran ran = shell("cmake --install '" TPLAB_BINARY_DIR "' --prefix '" + to + "'");
    INFO(ran.out << ran.err);
    REQUIRE(ran.exit_code == 0);
    return to;
  }();
  return path;
}

bool is_here(const std::string& program) {
  if (shell("command -v " + program).exit_code == 0) return true;
  WARN("skipped: " << program << " is not on this machine");
  return false;
}

// What bash offers for a command line whose last word is the one being typed.
std::string offered(const std::string& words, size_t count) {
  return shell(". '" + prefix() + "/share/bash-completion/completions/tplab'; PATH='" + prefix() +
                   "/bin:'$PATH; COMP_WORDS=(tplab " + words + "); COMP_CWORD=" +
                   std::to_string(count) + "; _tplab; printf '%s\n' \"${COMPREPLY[@]}\"",
               "/bin/bash")
      .out;
}

TEST_CASE("installed: the command runs from any folder, and answers as the one that was built") {
  const std::string run = "cd / && '" + prefix() + "/bin/tplab' ";
  CHECK(shell(run + "--version").out == tplab({"--version"}).out);
  const Ran verified = shell(run + "verify --preset nano-cpu --tp 2 --seq 4 --dtype f32");
  CHECK(verified.exit_code == 0);
  CHECK_THAT(verified.out, Contains("verified"));
  CHECK(shell(run +
              "train --layers 1 --heads 1 --width 8 --block 8 --steps 1 --warmup 0 "
              "--eval-batches 1 --no-sample --out '" +
              prefix() + "/run'")
            .exit_code == 0);
}

TEST_CASE("installed: the man page tells of every command and option, and man reads it") {
  const std::string page = file_text(prefix() + "/share/man/man1/tplab.1");
  CHECK_THAT(page, Catch::StartsWith(".TH TPLAB 1"));
  for (const char* part :
       {".SS tplab verify", ".SS tplab bench decode", "\\-\\-uneven", ".SS tplab help"})
    CHECK_THAT(page, Contains(part));
  if (is_here("mandoc")) {
    const Ran lint =
        shell("mandoc -Tlint -Wwarning '" + prefix() +
              "/share/man/man1/tplab.1' 2>&1 | grep -v 'missing date'");  // it has none
    CHECK(lint.out == "");
  }
  if (is_here("groff")) {
    const Ran read = shell("groff -man -Tascii -ww '" + prefix() + "/share/man/man1/tplab.1'");
    CHECK(read.exit_code == 0);
    CHECK(read.err == "");
  }
}

TEST_CASE("installed: bash completes commands, options, sets of words and names of files") {
  CHECK(offered("ver", 1) == "verify\n");
  CHECK(offered("bench d", 2) == "decode\n");
  CHECK(offered("verify --sit", 2) == "--sites\n");
  CHECK(offered("verify --preset gpt2-", 3) == "gpt2-medium\ngpt2-large\ngpt2-xl\n");
  CHECK(offered("verify --preset nano --dtype ''", 5) == "f32\nf64\nbf16\n");
  CHECK(offered("verify --preset = nano-", 4) == "nano-cpu\n");
  CHECK(offered("draw tim", 2) == "timeline\n");
  CHECK_THAT(offered("info --checkpoint /etc/passw", 3), Contains("/etc/passwd\n"));
  CHECK(offered("info --tp ''", 3) == "\n");
  CHECK(offered("dance --x", 2) == "\n");
  CHECK(offered("help ver", 2) == "verify\n");
}

TEST_CASE("installed: zsh and fish take their files, and complete where they are") {
  const std::string zsh = prefix() + "/share/zsh/site-functions/_tplab";
  CHECK_THAT(file_text(zsh), Catch::StartsWith("#compdef tplab\n"));
  if (is_here("zsh")) {
    const Ran read = shell("zsh -n '" + zsh + "'");
    CHECK(read.exit_code == 0);
    CHECK(read.err == "");
  }
  const std::string fish = prefix() + "/share/fish/vendor_completions.d/tplab.fish";
  if (is_here("fish")) {
    // In an empty home and folder: nothing of the user's takes part, and no file is offered. What
    // the command complains of, which completion hides, is seen.
    fs::create_directories(prefix() + "/empty");
    const Ran asked =
        shell("cd '" + prefix() + "/empty' && HOME=$PWD PATH='" + prefix() +
              "/bin:'$PATH fish -N -c \"source '" + fish +
              "'; functions __tplab_complete | string replace '2>/dev/null' '' | source; "
              "complete -C 'tplab bench de'; complete -C 'tplab info --preset gpt2-x'\"");
    CHECK(asked.err == "");
    CHECK(asked.out == "decode\ngpt2-xl\n");
  }
}

TEST_CASE("installed: schemas and licence") {
  CHECK(fs::exists(prefix() + "/share/tplab/schemas/verify.json"));
  CHECK_THAT(file_text(prefix() + "/share/doc/tplab/LICENSE"), Contains("MIT"));
}

}  // namespace
}  // namespace tplab
