#include "model/checkpoints/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "model/checkpoints/bytes.h"
#include "sim/error.h"

namespace tplab::pickle {
namespace {

// Everything a pickle may name. Nothing here is ever called: Reader::reduce knows what each means.
constexpr Global kOrderedDict = {"collections", "OrderedDict"};
constexpr Global kTensor = {"torch._utils", "_rebuild_tensor_v2"};
constexpr Global kParameter = {"torch._utils", "_rebuild_parameter"};
constexpr Global kGlobals[] = {
    kOrderedDict,
    kTensor,
    kParameter,
    {"torch", "DoubleStorage"},
    {"torch", "FloatStorage"},
    {"torch", "HalfStorage"},
    {"torch", "BFloat16Storage"},
    {"torch", "LongStorage"},
    {"torch", "IntStorage"},
    {"torch", "ShortStorage"},
    {"torch", "CharStorage"},
    {"torch", "ByteStorage"},
    {"torch", "BoolStorage"},
};

bool same(const Global& a, const Global& b) { return a.module == b.module && a.name == b.name; }

constexpr size_t kMostValues = 1'000'000;

}  // namespace

// The pickle machine: a stack, marks on it, and a memo, all of Refs.
class Reader {
 public:
  Reader(Document& document, const std::string& where)
      : document_(document), bytes_(document.bytes_.data(), document.bytes_.size()), where_(where) {
    for (const Value& value : {Value(None{}), Value(false), Value(true), Value(Tuple{})})
      make(value);
  }

  void run() {
    while (step(static_cast<unsigned char>(take(1)[0]))) {
    }
    document_.root_ = pop();
  }

 private:
  // These values are made once, so that one-byte opcodes cost no memory.
  static constexpr Ref kNone{0}, kFalse{1}, kTrue{2}, kEmptyTuple{3};

  [[noreturn]] void refuse(const std::string& what) const {
    fail_file(where_, fmt::format("{} (at byte {} of the pickle; nothing was executed)", what, at_),
              "keep to plain data: torch.save({'model': model.state_dict(), 'model_args': ...}, "
              "path) or pickle.dump(meta, file)");
  }

  // ---- bytes ----

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) refuse("the pickle ends early");
    const std::string_view taken = bytes_.substr(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return taken;
  }

  template <class Integer>
  Integer take_integer() {
    static_assert(std::endian::native == std::endian::little);
    Integer value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view take_line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) refuse("the pickle ends early");
    const std::string_view line = take(end - at_);
    take(1);
    return line;
  }

  double take_double() {  // the only big-endian number
    const uint64_t bits = __builtin_bswap64(take_integer<uint64_t>());
    return std::bit_cast<double>(bits);
  }

  int64_t take_long() {  // two's complement in as many bytes as it takes
    const size_t count = take_integer<uint8_t>();
    if (count > 8) refuse("an integer of more than 64 bits");
    const std::string_view text = take(count);
    uint64_t bits = count > 0 && (text.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    std::memcpy(&bits, text.data(), count);
    return static_cast<int64_t>(bits);
  }

  // ---- values, the stack and the memo ----

  Ref make(Value value) {
    if (document_.values_.size() >= kMostValues) refuse("more values than any checkpoint has");
    document_.values_.push_back(std::move(value));
    return {static_cast<uint32_t>(document_.values_.size() - 1)};
  }

  bool push(Ref ref) {
    stack_.push_back(ref);
    return true;
  }
  bool push(Value value) { return push(make(std::move(value))); }

  // Values above the last mark can be popped; a mark is popped only by what takes all above it.
  void need(size_t count) const {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < count) refuse("an opcode without its operands");
  }

  Ref pop() {
    need(1);
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }

  Ref top() const {
    need(1);
    return stack_.back();
  }

  std::vector<Ref> pop_items(size_t count) {
    need(count);
    const auto first = stack_.end() - static_cast<ptrdiff_t>(count);
    std::vector<Ref> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }

  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) refuse("an opcode without its mark");
    std::vector<Ref> items = pop_items(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  bool put(uint64_t index) {
    // Python numbers the memo from 0 up, so no index reaches the number of bytes.
    if (index >= bytes_.size()) refuse("a memo index past the size of the pickle");
    if (index >= memo_.size()) memo_.resize(static_cast<size_t>(index) + 1);
    memo_[static_cast<size_t>(index)] = top();
    return true;
  }

  bool get(uint64_t index) {
    if (index >= memo_.size() || !memo_[static_cast<size_t>(index)]) {
      refuse("a memo index that was never set");
    }
    return push(*memo_[static_cast<size_t>(index)]);
  }

  // ---- what opcodes do ----

  template <class T>
  T& expect(Ref ref, const char* what) {
    T* value = std::get_if<T>(&document_.values_[ref.index]);
    if (!value) refuse(fmt::format("an opcode that needs {}", what));
    return *value;
  }

  void append(std::vector<Ref> items) {
    List& list = expect<List>(top(), "a list");
    list.items.insert(list.items.end(), items.begin(), items.end());
  }

  void set_items(const std::vector<Ref>& items) { add_pairs(expect<Dict>(top(), "a dict"), items); }

  void add_pairs(Dict& dict, const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) refuse("a dict with a key but no value");
    for (size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
  }

  bool push_global(std::string_view module, std::string_view name) {
    for (const Global& allowed : kGlobals) {
      if (same(allowed, {module, name})) return push(Value(allowed));
    }
    refuse(fmt::format("the pickle asks for {} of Python module {}, which weights do not need",
                       in_quotes(name), in_quotes(module)));
  }

  bool push_named_global() {
    const Ref name = pop(), module = pop();
    return push_global(expect<std::string_view>(module, "text"),
                       expect<std::string_view>(name, "text"));
  }

  // callable(*arguments), for the three callables there are.
  bool reduce() {
    const Ref arguments = pop(), callable = pop();
    const Global& global = expect<Global>(callable, "an allowed global");
    const std::vector<Ref>& items = expect<Tuple>(arguments, "a tuple").items;
    if (same(global, kOrderedDict) && items.empty()) return push(Value(Dict{}));
    if (same(global, kTensor) && items.size() >= 4) {
      return push(Value(Tensor{items[0], items[1], items[2], items[3]}));
    }
    if (same(global, kParameter) && !items.empty()) return push(items[0]);  // its tensor
    refuse(fmt::format("a call of {} that torch.save does not write", in_quotes(global.name)));
  }

  // Attributes of an object: only torch's state dicts have any, and they are not weights.
  bool build() {
    pop();
    expect<Dict>(top(), "an OrderedDict");
    return true;
  }

  bool append_popped(std::vector<Ref> items) {
    append(std::move(items));
    return true;
  }

  // Runs one opcode; false after the last. Their letters are those of Python's pickletools.
  bool step(unsigned char opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (take_integer<uint8_t>() > 5) refuse("a pickle protocol newer than 5");
        return true;
      case 0x95:  // FRAME
        if (take_integer<uint64_t>() > bytes_.size() - at_) refuse("a frame past the end");
        return true;
      case '.':  // STOP
        return false;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return true;
      case '0':  // POP
        pop();
        return true;
      case '1':  // POP_MARK
        pop_to_mark();
        return true;
      case '2':  // DUP
        return push(top());

      case 'N':  // NONE
        return push(kNone);
      case 0x88:  // NEWTRUE
        return push(kTrue);
      case 0x89:  // NEWFALSE
        return push(kFalse);
      case 'J':  // BININT
        return push(Value(int64_t{take_integer<int32_t>()}));
      case 'K':  // BININT1
        return push(Value(int64_t{take_integer<uint8_t>()}));
      case 'M':  // BININT2
        return push(Value(int64_t{take_integer<uint16_t>()}));
      case 0x8a:  // LONG1
        return push(Value(take_long()));
      case 'G':  // BINFLOAT
        return push(Value(take_double()));

      case 'U':   // SHORT_BINSTRING
      case 0x8c:  // SHORT_BINUNICODE
        return push(Value(take(take_integer<uint8_t>())));
      case 'T':  // BINSTRING
      case 'X':  // BINUNICODE
        return push(Value(take(take_integer<uint32_t>())));
      case 0x8d:  // BINUNICODE8
        return push(Value(take(take_integer<uint64_t>())));

      case ')':  // EMPTY_TUPLE
        return push(kEmptyTuple);
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return push(Value(Tuple{pop_items(opcode - size_t{0x84})}));
      case 't':  // TUPLE
        return push(Value(Tuple{pop_to_mark()}));
      case ']':  // EMPTY_LIST
        return push(Value(List{}));
      case 'l':  // LIST
        return push(Value(List{pop_to_mark()}));
      case 'a':  // APPEND
        return append_popped(pop_items(1));
      case 'e':  // APPENDS
        return append_popped(pop_to_mark());
      case '}':  // EMPTY_DICT
        return push(Value(Dict{}));
      case 'd': {  // DICT
        Dict dict;
        add_pairs(dict, pop_to_mark());
        return push(Value(std::move(dict)));
      }
      case 's':  // SETITEM
        set_items(pop_items(2));
        return true;
      case 'u':  // SETITEMS
        set_items(pop_to_mark());
        return true;

      case 'h':  // BINGET
        return get(take_integer<uint8_t>());
      case 'j':  // LONG_BINGET
        return get(take_integer<uint32_t>());
      case 'q':  // BINPUT
        return put(take_integer<uint8_t>());
      case 'r':  // LONG_BINPUT
        return put(take_integer<uint32_t>());
      case 0x94:  // MEMOIZE
        return put(memo_.size());

      case 'c': {  // GLOBAL
        const std::string_view module = take_line();
        return push_global(module, take_line());
      }
      case 0x93:  // STACK_GLOBAL
        return push_named_global();
      case 'R':  // REDUCE
        return reduce();
      case 'b':  // BUILD
        return build();
      case 'Q':  // BINPERSID
        return push(Value(Persistent{pop()}));
      default:
        refuse(fmt::format("opcode 0x{:02x}, which weights do not need", opcode));
    }
  }

  Document& document_;
  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::vector<std::optional<Ref>> memo_;
};

Document::Document(std::string_view bytes, const std::string& where)
    : bytes_(bytes.begin(), bytes.end()) {
  Reader(*this, where).run();
}

const Value* Document::find(const Dict& dict, std::string_view key) const {
  const auto found = std::find_if(dict.items.rbegin(), dict.items.rend(), [&](const auto& item) {
    const auto* text = get<std::string_view>(item.first);
    return text && *text == key;
  });
  return found == dict.items.rend() ? nullptr : &(*this)[found->second];
}

}  // namespace tplab::pickle
