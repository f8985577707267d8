#include "checkpoint_pickles.h"
#include "model/files/pickle.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;
using pickle::Document;

namespace {

std::string refused(const std::string& bytes) {
  return refusal([&] { Document(bytes, "test.pkl"); });
}

template <class T>
T root(const std::string& value) {
  return std::get<T>(Document(value + ".", "test.pkl").root());
}

}  // namespace

TEST_CASE("pickle: numbers, text and flags are read as Python wrote them") {
  CHECK(root<int64_t>("K\xff") == 255);
  CHECK(root<int64_t>("M\x01\x02") == 513);
  CHECK(root<int64_t>("J\xfe\xff\xff\xff") == -2);
  CHECK(root<int64_t>(std::string("\x8a\x00", 2)) == 0);
  CHECK(root<int64_t>("\x8a\x01\xfe") == -2);
  CHECK(root<int64_t>(std::string("\x8a\x02\xff\x00", 4)) == 255);
  CHECK(root<int64_t>("\x8a\x08" + raw(INT64_MIN)) == INT64_MIN);
  CHECK(root<double>(std::string("G\x3f\xf8\0\0\0\0\0\0", 9)) == 1.5);
  CHECK(root<bool>("\x88"));
  CHECK(!root<bool>("\x89"));
  const Document text("\x8c\x03two.", "test.pkl");
  CHECK(std::get<std::string_view>(text.root()) == "two");
}

TEST_CASE("pickle: a dict keeps its items, and the last of equal keys counts") {
  Document document(p_pickle(p_dict({{"a", p_int(1)}, {"b", "]"}, {"a", p_int(3)}})), "test.pkl");
  const Document moved = std::move(document);  // text must still point to what it was read from
  const auto& dict = std::get<pickle::Dict>(moved.root());
  CHECK(dict.items.size() == 3);
  CHECK(std::get<int64_t>(*moved.find(dict, "a")) == 3);
  CHECK(std::get<pickle::List>(*moved.find(dict, "b")).items.empty());
  CHECK(moved.find(dict, "c") == nullptr);
}

namespace {

std::string kind(const std::string& value) {
  const Document document(value + ".", "test.pkl");
  return document.kind(document.root());
}

}  // namespace

TEST_CASE("pickle: what any class or function would make is an object, and nothing is executed") {
  const TempFolder folder;
  CHECK(kind("cos\nsystem\n" + p_tuple({p_text("touch " + folder.path("executed"))}) + "R") ==
        "an object of 'os.system'");
  CHECK_FALSE(fs::exists(folder.path("executed")));
  CHECK(kind("\x80\x04\x8c\x08"
             "builtins\x8c\x04"
             "eval\x93") == "a class");
  CHECK(kind("c__main__\nGPTConfig\n)\x81}b") == "an object of '__main__.GPTConfig'");
  CHECK(kind("c__main__\nKw\n)}\x92") == "an object of '__main__.Kw'");
  CHECK(kind("cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + p_int(0) + "tR") ==
        "an object of 'numpy.ndarray'");
  CHECK(kind("cfunctools\npartial\n(cos\nsystem\ntR)R") == "an object of 'functools.partial'");
  CHECK(kind("\x8f(K\x01\x90") == "an object of 'builtins.set'");
  CHECK(kind("(K\x01\x91") == "an object of 'builtins.set'");
  CHECK(kind("C\x02xy") == "an object of 'builtins.bytes'");
  CHECK(kind("\x8a\x09"
             "123456789") == "an object of 'builtins.int'");
  CHECK(kind("cx\ny\x1b]0;z\n)\x81") == "an object of 'x.y\\x1b]0;z'");
  CHECK_THAT(refused("ccollections\nOrderedDict."), Contains("ends early"));
}

TEST_CASE("pickle: an object's items, or its attributes, are read as a dict without making it") {
  const auto value = [](const std::string& bytes, bool are_items) {
    const Document document(bytes + ".", "test.pkl");
    const auto* pairs =
        are_items ? document.items(document.root()) : document.attributes(document.root());
    return pairs && pairs->size() == 1 ? *document.get<int64_t>((*pairs)[0].second) : -1;
  };
  const std::string state = p_dict({{"n_head", p_int(2)}});
  CHECK(value("cargparse\nNamespace\n)\x81" + state + "b", false) == 2);
  CHECK(value("cargparse\nNamespace\n)\x81" + state + "b", true) == -1);
  CHECK(value("cx\nSlots\n)\x81N" + state + "\x86" + "b", false) == 2);
  CHECK(value("cx\nMyDict\n)\x81(" + p_text("n_head") + p_int(3) + "u", true) == 3);
  CHECK(value("ccollections\ndefaultdict\n(cbuiltins\nint\ntR(" + p_text("n_head") + p_int(4) + "u",
              true) == 4);
  CHECK(value("cx\nY\n)\x81", false) == -1);
}

TEST_CASE("pickle: opcodes outside the list are refused") {
  for (const char opcode : {'i', 'o', 'P', 'I', 'S', 'V', 'F', '\x82', '\x97', '\x98'}) {
    CHECK_THAT(refused(std::string("]") + opcode + "os\nsystem\n."), Contains("opcode 0x"));
  }
  CHECK_THAT(refused(std::string("\x80\x06.")), Contains("newer than 5"));
}

TEST_CASE("pickle: calls and objects that no pickler writes are refused") {
  CHECK_THAT(refused("ctorch._utils\n_rebuild_tensor_v2\n)R."), Contains("call of"));
  CHECK_THAT(refused("ctorch._utils\n_rebuild_parameter\n)R."), Contains("call of"));
  CHECK_THAT(refused("])R."), Contains("no class or function"));
  CHECK_THAT(refused("])\x81."), Contains("no class or function"));
  CHECK_THAT(refused("ccollections\nOrderedDict\n]R."), Contains("needs a tuple"));
  CHECK_THAT(refused("]}b."), Contains("needs an object"));
}

TEST_CASE("pickle: every truncation of a real pickle is refused") {
  const std::string whole = FakeCheckpoint().pickle();
  CHECK_NOTHROW(Document(whole, "test.pkl"));
  for (size_t size = 0; size < whole.size(); ++size) {
    REQUIRE_THROWS_AS(Document(whole.substr(0, size), "test.pkl"), Error);
  }
}

TEST_CASE("pickle: a length past the end is refused before anything is allocated") {
  CHECK_THAT(refused("X\xff\xff\xff\xffhello."), Contains("ends early"));
  CHECK_THAT(refused("\x8d\xff\xff\xff\xff\xff\xff\xff\xffhello."), Contains("ends early"));
  CHECK_THAT(refused("\x95\xff\xff\xff\xff\xff\xff\xff\x7f."), Contains("frame"));
  CHECK_THAT(refused("]r\xff\xff\xff\xff."), Contains("memo index past"));
  CHECK_THAT(refused("\x8a\x09"
                     "1234."),
             Contains("ends early"));
  CHECK_THAT(refused("\x8b\xff\xff\xff\xffhello."), Contains("ends early"));
  CHECK_THAT(refused("B\xff\xff\xff\xffhello."), Contains("ends early"));
}

TEST_CASE("pickle: opcodes without operands, marks or memo are refused") {
  for (const std::string bytes :
       {".",  "0.",  "1.",     "2.",    "t.",      "e.",        "u.",   "d.",
        "l.", "]a.", "}Ns.",   "\x85.", "N\x86.",  "(.",        "R.",   "NR.",
        "b.", "Q.",  "q\x00.", "\x94.", "]((NNe.", "}(N\x85u.", "\x93."}) {
    CAPTURE(bytes);
    CHECK_THROWS_AS(Document(bytes, "test.pkl"), Error);
  }
  CHECK_THAT(refused("h\x05."), Contains("never set"));
  CHECK_THAT(refused("Na."), Contains("operands"));
  CHECK_THAT(refused("NNa."), Contains("a list"));
}

TEST_CASE("pickle: values nested a million deep are read without recursion") {
  std::string nested = "]";
  for (int i = 0; i < 900'000; ++i) nested += "\x85";
  CHECK_NOTHROW(Document(nested + ".", "test.pkl"));
}

TEST_CASE("pickle: a list of itself, and ten billion laughs, cost no more than their bytes") {
  const Document self(
      "]q\x01h\x01"
      "a.",
      "test.pkl");
  CHECK(std::get<pickle::List>(self.root()).items.size() == 1);
  std::string laughs = p_text("lol");  // then each tuple holds the one before ten times
  for (int i = 0; i < 100; ++i) {
    laughs +=
        "q\x01"
        "0(";
    for (int j = 0; j < 10; ++j) laughs += "h\x01";
    laughs += "t";
  }
  CHECK_NOTHROW(Document(laughs + ".", "test.pkl"));
}

TEST_CASE("pickle: more values than any checkpoint has are refused") {
  CHECK_THAT(refused(std::string(2'000'000, ']')), Contains("more values"));
}
