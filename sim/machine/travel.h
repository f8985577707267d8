// What ranks return, as bytes: results and ledgers travel between the processes of a run.
//
// Numbers, enums, strings, vectors, arrays, optionals, pairs, tuples, maps and sets travel, and so
// does a struct of at most 16 such members that has neither bases nor constructors. Any other type
// lists all that it holds, in order:
//   static void fields(auto& self, auto&& f) { f(self.a_, self.b_); }
// A type that does not travel does not compile; a list that leaves something out throws. All
// processes are one build on one kind of machine: numbers travel as they lie in memory.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/array.h"
#include "sim/machine/ledger.h"

namespace tplab {

// A rank's sites, as numbers: its ledger's, in the order in which that packs them; 0 is no site.
struct PackedSites {
  std::unordered_map<const Site*, uint32_t> numbers;
  std::vector<const Site*> sites;  // number i is at i - 1
};

// The same text, which lasts as long as the process: for names, of which there are few.
std::string_view lasting(std::string_view text);

namespace travel {

// Converts to anything, so as to count the members of a struct.
struct Anything {
  template <class T>
  operator T() const {  // NOLINT(google-explicit-constructor)
    std::abort();
  }
};
template <class T, size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), Anything())...}; };
}
template <class T, size_t n = 16>
constexpr size_t members() {
  if constexpr (n == 0 || takes<T>(std::make_index_sequence<n>())) {
    return n;
  } else {
    return members<T, n - 1>();
  }
}

// f(all members of x).
template <class T, class F>
void each_member(T& x, F&& f) {
  constexpr size_t kMembers = members<std::remove_const_t<T>>();
  static_assert(kMembers > 0, "a result of this type does not travel: give it fields()");
  if constexpr (kMembers == 1) {
    auto& [a] = x;
    f(a);
  } else if constexpr (kMembers == 2) {
    auto& [a, b] = x;
    f(a, b);
  } else if constexpr (kMembers == 3) {
    auto& [a, b, c] = x;
    f(a, b, c);
  } else if constexpr (kMembers == 4) {
    auto& [a, b, c, d] = x;
    f(a, b, c, d);
  } else if constexpr (kMembers == 5) {
    auto& [a, b, c, d, e] = x;
    f(a, b, c, d, e);
  } else if constexpr (kMembers == 6) {
    auto& [a, b, c, d, e, g] = x;
    f(a, b, c, d, e, g);
  } else if constexpr (kMembers == 7) {
    auto& [a, b, c, d, e, g, h] = x;
    f(a, b, c, d, e, g, h);
  } else if constexpr (kMembers == 8) {
    auto& [a, b, c, d, e, g, h, i] = x;
    f(a, b, c, d, e, g, h, i);
  } else if constexpr (kMembers == 9) {
    auto& [a, b, c, d, e, g, h, i, j] = x;
    f(a, b, c, d, e, g, h, i, j);
  } else if constexpr (kMembers == 10) {
    auto& [a, b, c, d, e, g, h, i, j, k] = x;
    f(a, b, c, d, e, g, h, i, j, k);
  } else if constexpr (kMembers == 11) {
    auto& [a, b, c, d, e, g, h, i, j, k, l] = x;
    f(a, b, c, d, e, g, h, i, j, k, l);
  } else if constexpr (kMembers == 12) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m] = x;
    f(a, b, c, d, e, g, h, i, j, k, l, m);
  } else if constexpr (kMembers == 13) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n] = x;
    f(a, b, c, d, e, g, h, i, j, k, l, m, n);
  } else if constexpr (kMembers == 14) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o] = x;
    f(a, b, c, d, e, g, h, i, j, k, l, m, n, o);
  } else if constexpr (kMembers == 15) {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p] = x;
    f(a, b, c, d, e, g, h, i, j, k, l, m, n, o, p);
  } else {
    auto& [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q] = x;
    f(a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q);
  }
}

template <class T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <class T>
concept Listed = requires(T& x) {
  T::fields(x, [](auto&...) {});
};
// How large a struct of these members is, in this order.
struct Layout {
  size_t bytes = 0;
  template <class... T>
  void operator()(const T&...) {
    ((bytes = up_to(bytes, alignof(T)) + sizeof(T)), ...);
  }
  static size_t up_to(size_t at, size_t alignment) {
    return (at + alignment - 1) / alignment * alignment;
  }
};
[[noreturn]] void fail_left_out(const char* type);
template <class T>
void check_lists_all(const T& x) {
  static const bool kAll = [&] {
    Layout layout;
    T::fields(x, layout);
    return Layout::up_to(layout.bytes, alignof(T)) == sizeof(T);
  }();
  if (!kAll) fail_left_out(typeid(T).name());
}

template <class T>
concept Sequence = requires(T& x) {
  x.data();
  x.resize(size_t{});
};
template <class T>
concept Tuple = requires {
  std::tuple_size<T>::value;
};  // arrays and pairs too
template <class T>
concept Keyed = requires(T& x, typename T::value_type v) {
  x.insert(std::move(v));
}
&&!Sequence<T>;

}  // namespace travel

// Writes values one after the other. An array's numbers must be in host memory.
class Packer {
 public:
  explicit Packer(const PackedSites& sites) : sites_(sites) {}
  std::string take() { return std::move(bytes_); }

  template <class... T>
  void operator()(const T&... all) {
    (put(all), ...);
  }

 private:
  void raw(const void* from, size_t bytes) { bytes_.append(static_cast<const char*>(from), bytes); }
  void put(const Event& event);
  void put(const Array& array);
  void put(const Shape& shape);
  void put(std::string_view text) {
    put(text.size());
    raw(text.data(), text.size());
  }
  void put(const std::string& text) { put(std::string_view(text)); }
  template <travel::Plain T>
  void put(const T& x) {
    raw(&x, sizeof x);
  }
  template <class T>
  void put(const std::optional<T>& x) {
    put(x.has_value());
    if (x) put(*x);
  }
  template <class T>
  void put(const T& x) {
    if constexpr (travel::Listed<T>) {
      travel::check_lists_all(x);
      T::fields(x, *this);
    } else if constexpr (travel::Sequence<T> || travel::Keyed<T>) {
      put(x.size());
      if constexpr (travel::Sequence<T> && travel::Plain<typename T::value_type>) {
        raw(x.data(), x.size() * sizeof(typename T::value_type));
      } else {
        for (const auto& each : x) put(each);
      }
    } else if constexpr (travel::Tuple<T>) {
      std::apply(*this, x);
    } else {
      travel::each_member(x, *this);
    }
  }

  const PackedSites& sites_;
  std::string bytes_;
};

// Reads them again, in the same order. Throws Error(run) where the bytes are other values'.
class Unpacker {
 public:
  Unpacker(std::string_view bytes, const PackedSites& sites) : bytes_(bytes), sites_(sites) {}
  bool done() const { return bytes_.empty(); }

  template <class... T>
  void operator()(T&... all) {
    (get(all), ...);
  }

 private:
  std::string_view raw(size_t bytes);
  size_t count(size_t least_bytes_each);
  void get(Event& event);
  void get(Array& array);
  void get(Shape& shape);
  void get(std::string& text) { text = raw(count(1)); }
  void get(std::string_view& text) { text = lasting(raw(count(1))); }
  template <travel::Plain T>
  void get(T& x) {
    std::memcpy(&x, raw(sizeof x).data(), sizeof x);
  }
  template <class T>
  void get(std::optional<T>& x) {
    bool there = false;
    get(there);
    x.reset();
    if (there) get(x.emplace());
  }
  template <class T>
  void get(T& x) {
    if constexpr (travel::Listed<T>) {
      T::fields(x, *this);
    } else if constexpr (travel::Sequence<T>) {
      using Each = typename T::value_type;
      if constexpr (travel::Plain<Each>) {
        x.resize(count(sizeof(Each)));
        const std::string_view bytes = raw(x.size() * sizeof(Each));
        if (!x.empty()) std::memcpy(x.data(), bytes.data(), bytes.size());
      } else {
        x.resize(count(1));
        for (Each& each : x) get(each);
      }
    } else if constexpr (travel::Keyed<T>) {
      x.clear();
      for (size_t n = count(1); n > 0; --n) {
        typename T::key_type key{};
        get(key);
        if constexpr (requires { typename T::mapped_type; }) {
          get(x[std::move(key)]);
        } else {
          x.insert(std::move(key));
        }
      }
    } else if constexpr (travel::Tuple<T>) {
      std::apply(*this, x);
    } else {
      travel::each_member(x, *this);
    }
  }

  std::string_view bytes_;
  const PackedSites& sites_;
};

// A ledger's sites and events; and into an empty one. `sites` gets its sites' numbers.
std::string packed(const Ledger& ledger, PackedSites& sites);
Ledger unpacked_ledger(std::string_view bytes, PackedSites& sites);

}  // namespace tplab
