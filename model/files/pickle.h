// Reads Python pickles as plain data: no code is run, no object is made, nothing is imported.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tplab::pickle {

// Where a value is in its Document. Values refer to each other by Ref, so a value that occurs a
// thousand times is kept once, and a list that contains itself harms nobody: a pickle of n bytes
// makes at most n values.
struct Ref {
  uint32_t index = 0;
};

struct None {};
struct Tuple {
  std::vector<Ref> items;
};
struct List {
  std::vector<Ref> items;
};
struct Dict {  // dict and OrderedDict, in the order of the pickle; a key may repeat
  std::vector<std::pair<Ref, Ref>> items;
};
// A name that a pickle mentions, such as {"torch", "FloatStorage"}. Nothing is imported.
struct Global {
  std::string_view module, name;
};
// What torch.save writes for a storage: a tuple ('storage', type, key, device, length).
struct Persistent {
  Ref id;
};
// The arguments of torch._utils._rebuild_tensor_v2, unchecked.
struct Tensor {
  Ref storage, offset, shape, stride;
};
// An object of any other class: nothing was made or called. What would be its attributes is its
// state; items are those of a subclass of dict.
struct Opaque {
  Ref type;  // a Global: its class, or the function that would make it
  std::vector<std::pair<Ref, Ref>> items = {};
  std::optional<Ref> state = {};
};

// Text is UTF-8 as far as Python wrote it so; it points into the Document.
using Value = std::variant<None, bool, int64_t, double, std::string_view, Tuple, List, Dict, Global,
                           Persistent, Tensor, Opaque>;

class Document {
 public:
  // Takes protocols 1 to 5 without the extension registry. Dicts, lists, tuples, numbers, text and
  // tensors are read; of other objects it is known what they are. Throws Error(bad_file), which
  // begins with `where`, where the bytes are no pickle. No recursion, and memory in proportion to
  // the bytes.
  Document(std::string_view bytes, const std::string& where);
  Document(Document&&) = default;
  Document& operator=(Document&&) = default;

  const Value& root() const { return (*this)[root_]; }
  const Value& operator[](Ref ref) const { return values_[ref.index]; }

  // The value, if it is a T; null otherwise.
  template <class T>
  const T* get(Ref ref) const {
    return std::get_if<T>(&(*this)[ref]);
  }

  // The value of a key that is text; null where there is none. The last of equal keys counts.
  const Value* find(const Dict& dict, std::string_view key) const;

  // The items of a dict, or of an object of a subclass of it; null for anything else.
  const std::vector<std::pair<Ref, Ref>>* items(const Value& value) const;
  // Those, or the attributes of an object whose state is a dict.
  const std::vector<std::pair<Ref, Ref>>* attributes(const Value& value) const;
  // What it is, for messages: "a list", "text '12'", "an object of 'numpy.dtype'".
  std::string kind(const Value& value) const;

 private:
  friend class Reader;
  std::vector<char> bytes_;  // what text points into; a vector, so that moving keeps its place
  std::vector<Value> values_;
  Ref root_;
};

}  // namespace tplab::pickle
