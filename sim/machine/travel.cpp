#include "sim/machine/travel.h"

#include <fmt/format.h>

#include <mutex>
#include <stdexcept>

#include "sim/error.h"

namespace tplab {

std::string_view lasting(std::string_view text) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> texts;
  const std::lock_guard lock(mutex);
  const auto found = texts.find(text);
  return found != texts.end() ? *found : *texts.emplace(text).first;
}

void travel::fail_left_out(const char* type) {
  throw std::logic_error(fmt::format("fields() of {} leaves something out", type));
}

namespace {

// All of an event but its site.
template <class Self, class F>
void event_numbers(Self& e, F& f) {
  f(e.phase, e.axis, e.op, e.algorithm, e.dtype, e.group_size, e.elements, e.payload_bytes,
    e.wire_bytes, e.start_ns, e.agreed_ns, e.end_ns);
}

[[noreturn]] void fail_unpack() {
  throw Error(ErrorKind::run, "what another process returned cannot be read",
              "run one build of tplab in all processes");
}

}  // namespace

void Packer::put(const Event& event) {
  const auto site = sites_.numbers.find(event.site);
  put(site == sites_.numbers.end() ? 0u : site->second);
  event_numbers(event, *this);
}

void Packer::put(const Shape& shape) {
  put(shape.dims());
  for (const int64_t size : shape) put(size);
}

void Packer::put(const Array& array) {
  put(array.dtype());
  put(array.shape());
  put(array.present());
  if (array.present()) raw(array.data(), static_cast<size_t>(array.bytes()));
}

std::string_view Unpacker::raw(size_t bytes) {
  if (bytes > bytes_.size()) fail_unpack();
  const std::string_view part = bytes_.substr(0, bytes);
  bytes_.remove_prefix(bytes);
  return part;
}

size_t Unpacker::count(size_t least_bytes_each) {
  size_t count = 0;
  get(count);
  if (count > bytes_.size() / least_bytes_each) fail_unpack();
  return count;
}

void Unpacker::get(Event& event) {
  uint32_t site = 0;
  get(site);
  if (site > sites_.sites.size()) fail_unpack();
  event.site = site == 0 ? nullptr : sites_.sites[site - 1];
  event_numbers(event, *this);
}

void Unpacker::get(Shape& shape) {
  int dims = 0;
  get(dims);
  if (dims < 0 || dims > Shape::kMaxDims) fail_unpack();
  shape = {};
  for (int i = 0; i < dims; ++i) {
    int64_t size = 0;
    get(size);
    shape.push_back(size);
  }
}

void Unpacker::get(Array& array) {
  DType dtype = DType::f32;
  Shape shape;
  bool present = false;
  (*this)(dtype, shape, present);
  if (!present) {
    array = {};
    return;
  }
  const Array empty(dtype, shape, nullptr);
  const std::string_view numbers = raw(static_cast<size_t>(empty.bytes()));
  std::shared_ptr<std::byte[]> memory(new std::byte[numbers.size()]);
  std::memcpy(memory.get(), numbers.data(), numbers.size());
  array = Array(dtype, shape, std::shared_ptr<void>(memory, memory.get()));
}

std::string packed(const Ledger& ledger, PackedSites& sites) {
  Packer pack(sites);
  // A parent was made before its children, but the ledger does not keep that order.
  const auto number_of = [&](const Site* site, const auto& self) -> uint32_t {
    if (const auto known = sites.numbers.find(site); known != sites.numbers.end())
      return known->second;
    if (site->parent) self(site->parent, self);
    sites.sites.push_back(site);
    return sites.numbers[site] = static_cast<uint32_t>(sites.sites.size());
  };
  number_of(ledger.root(), number_of);
  ledger.each_site([&](const Site& site) { number_of(&site, number_of); });
  pack(sites.sites.size());
  for (const Site* site : sites.sites)
    pack(site->parent ? sites.numbers.at(site->parent) : 0u, site->name);
  pack(ledger.events());
  return pack.take();
}

Ledger unpacked_ledger(std::string_view bytes, PackedSites& sites) {
  Unpacker unpack(bytes, sites);
  Ledger ledger;
  size_t count = 0;
  unpack(count);
  for (size_t i = 0; i < count; ++i) {
    uint32_t parent = 0;
    std::string name;
    unpack(parent, name);
    if (parent > i || (parent == 0) != (i == 0)) fail_unpack();
    sites.sites.push_back(parent == 0 ? ledger.root() : ledger.site(sites.sites[parent - 1], name));
    sites.numbers[sites.sites.back()] = static_cast<uint32_t>(sites.sites.size());
  }
  std::vector<Event> events;
  unpack(events);
  for (const Event& event : events) ledger.record(event);
  return ledger;
}

}  // namespace tplab
