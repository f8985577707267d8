// A run's folder: what it made and left empty goes, and nothing of anybody else's.
#include "cli/own_folder.h"

#include <catch2/catch.hpp>
#include <optional>

#include "run_tplab.h"

namespace tplab {

namespace fs = std::filesystem;
using cli::OwnFolder;
using namespace testing;

TEST_CASE("own folder: what it made goes again if it stayed empty, and its parents") {
  const TemporaryFolder folder;
  std::error_code error;
  fs::create_directory(folder / "kept");
  {
    OwnFolder own;
    own.make(folder / "kept/a/b", error);
    REQUIRE_FALSE(error);
    REQUIRE(own.lock(folder / "kept/a/b"));
    OwnFolder other;
    CHECK_FALSE(other.lock(folder / "kept/a/b"));
  }
  CHECK(fs::is_empty(folder / "kept"));
  {
    OwnFolder own;
    own.make(folder / "kept", error);
    REQUIRE(own.lock(folder / "kept"));
  }
  CHECK(fs::exists(folder / "kept"));
}

TEST_CASE("own folder: a folder with something in it stays, and what was put in its place") {
  const TemporaryFolder folder;
  std::error_code error;
  const std::string path = folder / "run";
  {
    OwnFolder own;
    own.make(path, error);
    REQUIRE(own.lock(path));
    write_file(path + "/notes", "mine");
  }
  CHECK(file_text(path + "/notes") == "mine");

  // It is moved away, and then something else has its name.
  using Put = void (*)(const std::string& here, const std::string& moved);
  const Put puts[] = {
      [](const std::string& here, const std::string&) { write_file(here, "mine"); },
      [](const std::string& here, const std::string&) { fs::create_directory(here); },
      [](const std::string& here, const std::string& moved) {
        fs::create_directory_symlink(moved, here);
      }};
  for (const Put put : puts) {
    const std::string moved = folder / "moved", here = folder / "here";
    {
      OwnFolder own;
      own.make(here, error);
      REQUIRE(own.lock(here));
      fs::rename(here, moved);
      put(here, moved);
    }
    CHECK(fs::exists(moved));
    CHECK(fs::exists(here));
    fs::remove(here);
    fs::remove(moved);
  }
}

}  // namespace tplab
