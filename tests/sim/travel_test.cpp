// What ranks return, packed and unpacked again as for another process.
#include "sim/machine/travel.h"

#include <catch2/catch.hpp>

#include "sim/error.h"

namespace tplab {
namespace {

template <class T>
T there_and_back(const T& value) {
  const PackedSites none;
  Packer pack(none);
  pack(value);
  const std::string bytes = pack.take();
  T result{};
  Unpacker unpack(bytes, none);
  unpack(result);
  CHECK(unpack.done());
  return result;
}

enum class Colour { red, green };
struct Inner {
  int64_t number = 0;
  std::string text = {};
  bool operator==(const Inner&) const = default;
};
struct Everything {
  bool flag = false;
  Colour colour = Colour::red;
  double real = 0;
  std::string text;
  std::string_view name;
  std::vector<double> numbers;
  std::vector<Inner> inners;
  std::optional<Inner> maybe, not_there;
  std::optional<double> real_maybe;
  std::array<int32_t, 3> three{};
  std::map<int, std::vector<std::string>> by_key;
  std::set<std::string> names;
  std::pair<int, Inner> both;
  Shape shape;
  std::tuple<int, float> last;
};

class Hidden {
 public:
  void add(int number) { numbers_.push_back(number); }
  const std::vector<int>& numbers() const { return numbers_; }
  static void fields(auto& self, auto&& f) { f(self.numbers_); }

 private:
  std::vector<int> numbers_;
};
struct Derived : Inner {
  int more = 0;
  static void fields(auto& self, auto&& f) { f(self.number, self.text, self.more); }
};

TEST_CASE("travel: a struct of everything comes back as it was", "[travel]") {
  const Everything sent{true,
                        Colour::green,
                        1.25,
                        "long enough to be nowhere but on the heap",
                        "a name",
                        {1, 2, 3.5},
                        {{7, "seven"}, {8, ""}},
                        Inner{9, "nine"},
                        {},
                        0.5,
                        {1, -2, 3},
                        {{3, {"c"}}, {1, {"a", "b"}}},
                        {"x", "y"},
                        {5, {6, "six"}},
                        {2, 3},
                        {4, 0.25F}};
  const Everything got = there_and_back(sent);
  CHECK(got.flag);
  CHECK(got.colour == Colour::green);
  CHECK(got.real == 1.25);
  CHECK(got.text == sent.text);
  CHECK(got.name == "a name");
  CHECK(got.name.data() != sent.name.data());  // it lasts by itself
  CHECK(got.numbers == sent.numbers);
  CHECK(got.inners == sent.inners);
  CHECK(got.maybe == sent.maybe);
  CHECK_FALSE(got.not_there);
  CHECK(got.real_maybe == 0.5);
  CHECK(got.three == sent.three);
  CHECK(got.by_key == sent.by_key);
  CHECK(got.names == sent.names);
  CHECK(got.both == sent.both);
  CHECK(got.shape == Shape{2, 3});
  CHECK(got.last == sent.last);
}

TEST_CASE("travel: a class lists what it holds", "[travel]") {
  Hidden hidden;
  hidden.add(4);
  hidden.add(5);
  CHECK(there_and_back(hidden).numbers() == std::vector{4, 5});
  Derived derived;
  derived.number = 1;
  derived.text = "t";
  derived.more = 2;
  const Derived got = there_and_back(derived);
  CHECK(got.number == 1);
  CHECK(got.text == "t");
  CHECK(got.more == 2);
}

struct Forgetful {
  int64_t kept = 1, forgotten = 2;
  static void fields(auto& self, auto&& f) { f(self.kept); }
};

TEST_CASE("travel: a list that leaves a member out is an error", "[travel]") {
  const PackedSites none;
  Packer pack(none);
  CHECK_THROWS_WITH(pack(Forgetful()), Catch::Contains("leaves something out"));
}

TEST_CASE("travel: an array brings its numbers, an absent one nothing", "[travel]") {
  std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  const Array sent(DType::f32, {2, 3}, std::shared_ptr<void>(numbers.data(), [](void*) {}));
  const Array got = there_and_back(sent);
  CHECK(got.shape() == Shape{2, 3});
  CHECK(std::vector(got.as<float>(), got.as<float>() + 6) == numbers);
  CHECK(got.data() != sent.data());
  CHECK_FALSE(there_and_back(Array()).present());
}

TEST_CASE("travel: a ledger's events have their sites again, and so have a result's", "[travel]") {
  Ledger ledger;
  const Site* const block = ledger.site(ledger.root(), "block 3");
  const Site* const attention = ledger.site(block, "attn");
  ledger.record({.site = attention, .op = Op::all_reduce, .elements = 12, .wire_bytes = 24});
  ledger.record({.site = ledger.root(), .op = Op::barrier});
  PackedSites here;
  const std::string bytes = packed(ledger, here);
  Packer pack(here);
  pack(Event{.site = block, .phase = Phase::backward}, Event{});
  const std::string result = pack.take();

  PackedSites there;
  const Ledger got = unpacked_ledger(bytes, there);
  REQUIRE(got.events().size() == 2);
  CHECK(got.events()[0].site->path() == "block 3/attn");
  CHECK(got.events()[0].site->hash == attention->hash);
  CHECK(got.events()[0].elements == 12);
  CHECK(got.events()[0].wire_bytes == 24);
  CHECK(got.events()[1].site == got.root());
  Event of_block, of_none;
  Unpacker unpack(result, there);
  unpack(of_block, of_none);
  CHECK(of_block.site == got.events()[0].site->parent);
  CHECK(of_block.phase == Phase::backward);
  CHECK(of_none.site == nullptr);
}

TEST_CASE("travel: bytes that end too early, or count too many, are refused", "[travel]") {
  const PackedSites none;
  Packer pack(none);
  pack(std::vector<std::string>{"one", "two"});
  const std::string bytes = pack.take();
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::vector<std::string> got;
    Unpacker unpack(std::string_view(bytes).substr(0, length), none);
    CHECK_THROWS_AS(unpack(got), Error);
  }
}

}  // namespace
}  // namespace tplab
