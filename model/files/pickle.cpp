#include "model/files/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::pickle {
namespace {

// The calls that are understood; what any other would make is an Opaque. None is ever made.
constexpr Global kOrderedDict = {"collections", "OrderedDict"};
constexpr Global kDefaultDict = {"collections", "defaultdict"};
constexpr Global kTensor = {"torch._utils", "_rebuild_tensor_v2"};
constexpr Global kOldTensor = {"torch._utils", "_rebuild_tensor"};
constexpr Global kParameter = {"torch._utils", "_rebuild_parameter"};
constexpr Global kFromType = {"torch._tensor", "_rebuild_from_type_v2"};
constexpr Global kParameterWithState = {"torch._utils", "_rebuild_parameter_with_state"};

bool same(const Global& a, const Global& b) { return a.module == b.module && a.name == b.name; }

constexpr size_t kMostValues = 1'000'000;

}  // namespace

// The pickle machine: a stack, marks on it, and a memo, all of Refs.
class Reader {
 public:
  Reader(Document& document, const std::string& where)
      : document_(document), bytes_(document.bytes_.data(), document.bytes_.size()), where_(where) {
    for (const Value& value : {Value(None{}), Value(false), Value(true), Value(Tuple{}),
                               Value(Global{"builtins", "bytes"}), Value(Global{"builtins", "set"}),
                               Value(Global{"builtins", "int"})})
      make(value);
  }

  void run() {
    while (step(static_cast<unsigned char>(take(1)[0]))) {
    }
    document_.root_ = pop();
  }

 private:
  // These values are made once, so that one-byte opcodes cost no memory.
  static constexpr Ref kNone{0}, kFalse{1}, kTrue{2}, kEmptyTuple{3}, kBytes{4}, kSet{5}, kInt{6};

  [[noreturn]] void refuse(const std::string& what) const {
    fail_file(where_, fmt::format("{} (at byte {} of the pickle; nothing was executed)", what, at_),
              "the file is corrupt, or no pickle: download it, copy it or save it again");
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

  bool push_long(uint64_t count) {  // two's complement in as many bytes as it takes
    const std::string_view text = take(count);
    if (count > 8) return push(Value(Opaque{.type = kInt}));
    uint64_t bits = count > 0 && (text.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    std::memcpy(&bits, text.data(), text.size());
    return push(Value(static_cast<int64_t>(bits)));
  }

  bool push_bytes(uint64_t count) {
    take(count);
    return push(Value(Opaque{.type = kBytes}));
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

  // The value, if it is a T; null otherwise. Until the next push.
  template <class T>
  T* as(Ref ref) {
    return std::get_if<T>(&document_.values_[ref.index]);
  }

  // What an Opaque that is a list or a set holds is not kept.
  bool append(const std::vector<Ref>& items) {
    if (as<Opaque>(top())) return true;
    List& list = expect<List>(top(), "a list");
    list.items.insert(list.items.end(), items.begin(), items.end());
    return true;
  }

  bool set_items(const std::vector<Ref>& items) {
    auto* object = as<Opaque>(top());
    add_pairs(object ? object->items : expect<Dict>(top(), "a dict").items, items);
    return true;
  }

  void add_pairs(std::vector<std::pair<Ref, Ref>>& pairs, const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) refuse("a dict with a key but no value");
    for (size_t i = 0; i < items.size(); i += 2) pairs.emplace_back(items[i], items[i + 1]);
  }

  bool push_named_global() {
    const Ref name = pop(), module = pop();
    return push(Value(
        Global{expect<std::string_view>(module, "text"), expect<std::string_view>(name, "text")}));
  }

  // callable(*arguments): what is not understood is an object of that class.
  bool reduce() {
    const Ref arguments = pop(), callable = pop();
    const std::vector<Ref>& items = expect<Tuple>(arguments, "a tuple").items;
    const auto* global = as<Global>(callable);
    if (!global) return push_object(callable, items);
    if (same(*global, kDefaultDict) || (same(*global, kOrderedDict) && items.empty()))
      return push(Value(Dict{}));
    const bool is_tensor = same(*global, kTensor) || same(*global, kOldTensor);
    const bool is_parameter = same(*global, kParameter) || same(*global, kParameterWithState);
    if (is_tensor && items.size() >= 4)
      return push(Value(Tensor{items[0], items[1], items[2], items[3]}));
    if (is_parameter && !items.empty()) return push(items[0]);  // its tensor
    if (same(*global, kFromType) && items.size() >= 3) {  // (how it is rebuilt, class, with what)
      const auto* how = as<Global>(items[0]);
      const auto* with = as<Tuple>(items[2]);
      if (how && same(*how, kTensor) && with && with->items.size() >= 4)
        return push(Value(Tensor{with->items[0], with->items[1], with->items[2], with->items[3]}));
    }
    if (is_tensor || is_parameter)
      refuse(fmt::format("a call of {} that torch.save does not write", in_quotes(global->name)));
    return push_object(callable, items);
  }

  // An object of a class, or of what a function makes. Those whose names begin with _ are helpers
  // that take the class as their first argument: copyreg._reconstructor, numpy's _reconstruct.
  bool push_object(Ref callable, const std::vector<Ref>& arguments) {
    if (const auto* object = as<Opaque>(callable)) callable = object->type;  // a partial, a method
    const auto* global = as<Global>(callable);
    if (!global) refuse("a call of what is no class or function");
    const bool is_helper = global->name.starts_with('_');
    if (is_helper && !arguments.empty() && as<Global>(arguments[0])) callable = arguments[0];
    return push(Value(Opaque{.type = callable}));
  }

  bool new_object(size_t n_arguments) {  // cls.__new__(cls, *args, **kwargs)
    pop_items(n_arguments);
    return push_object(pop(), {});
  }

  // Attributes of an object. A state dict has some too (_metadata), and a tensor may: no weights.
  bool build() {
    const Ref state = pop();
    if (auto* object = as<Opaque>(top())) {
      object->state = state;
    } else if (!as<Tensor>(top())) {
      expect<Dict>(top(), "an object");
    }
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
        return push_long(take_integer<uint8_t>());
      case 0x8b:  // LONG4, whose length has a sign
        return push_long(take_integer<uint32_t>());
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
      case 'C':  // SHORT_BINBYTES
        return push_bytes(take_integer<uint8_t>());
      case 'B':  // BINBYTES
        return push_bytes(take_integer<uint32_t>());
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return push_bytes(take_integer<uint64_t>());

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
        return append(pop_items(1));
      case 'e':   // APPENDS
      case 0x90:  // ADDITEMS
        return append(pop_to_mark());
      case 0x8f:  // EMPTY_SET
        return push(Value(Opaque{.type = kSet}));
      case 0x91:  // FROZENSET
        pop_to_mark();
        return push(Value(Opaque{.type = kSet}));
      case '}':  // EMPTY_DICT
        return push(Value(Dict{}));
      case 'd': {  // DICT
        Dict dict;
        add_pairs(dict.items, pop_to_mark());
        return push(Value(std::move(dict)));
      }
      case 's':  // SETITEM
        return set_items(pop_items(2));
      case 'u':  // SETITEMS
        return set_items(pop_to_mark());

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
        return push(Value(Global{module, take_line()}));
      }
      case 0x93:  // STACK_GLOBAL
        return push_named_global();
      case 'R':  // REDUCE
        return reduce();
      case 0x81:  // NEWOBJ
        return new_object(1);
      case 0x92:  // NEWOBJ_EX
        return new_object(2);
      case 'b':  // BUILD
        return build();
      case 'Q':  // BINPERSID
        return push(Value(Persistent{pop()}));
      default:
        refuse(fmt::format("opcode 0x{:02x}, which tplab does not know", opcode));
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

const std::vector<std::pair<Ref, Ref>>* Document::items(const Value& value) const {
  if (const auto* dict = std::get_if<Dict>(&value)) return &dict->items;
  const auto* object = std::get_if<Opaque>(&value);
  return object && !object->items.empty() ? &object->items : nullptr;
}

const std::vector<std::pair<Ref, Ref>>* Document::attributes(const Value& value) const {
  if (const auto* own = items(value)) return own;
  const auto* object = std::get_if<Opaque>(&value);
  if (!object || !object->state) return nullptr;
  const auto* pair = get<Tuple>(*object->state);  // (attributes, slots) where a class has slots
  const bool has_slots = pair && pair->items.size() == 2;
  const auto* dict = get<Dict>(has_slots ? pair->items[1] : *object->state);
  return dict ? &dict->items : nullptr;
}

std::string Document::kind(const Value& value) const {
  constexpr const char* kKinds[] = {"None",    "",          "a whole number", "",
                                    "",        "a tuple",   "a list",         "a dict",
                                    "a class", "a storage", "a tensor"};
  static_assert(std::variant_size_v<Value> == std::size(kKinds) + 1);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "True" : "False";
  if (const auto* number = std::get_if<double>(&value))
    return fmt::format("the number {}", *number);
  if (const auto* text = std::get_if<std::string_view>(&value)) return "text " + in_quotes(*text);
  const auto* object = std::get_if<Opaque>(&value);
  if (!object) return kKinds[value.index()];
  const auto& [module, name] = *get<Global>(object->type);  // push_object made sure of it
  return "an object of " + in_quotes(fmt::format("{}.{}", module, name));
}

}  // namespace tplab::pickle
