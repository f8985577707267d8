// What one rank computed and communicated, as a graph of values: recorded from the run itself.
//
// On the meta device every operation tells what it read and wrote, and every tensor's type tells
// its placement, so that nothing here repeats what the model's code says.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/layers/loader.h"
#include "sim/machine/world.h"
#include "sim/recorder.h"

namespace tplab {

// A tensor at one moment: an operation that overwrites it makes a new value.
struct FlowValue {
  std::string name;            // as the model shows it: "qkv"; empty if it does not
  std::string_view placement;  // empty if no tensor was made of it
  Shape shape;
  DType dtype = DType::f32;
  int made_by = -1;  // a step; -1: it was there before
};

// A parameter, or its gradient, as an operation used it.
struct FlowWeight {
  size_t row;  // in the plan's rows, the first of those that one product reads
  bool gradient;
  Shape shape;  // this rank's part
};

struct FlowRead {
  int value;
  std::string_view placement;  // how it was read: enter() reads an invariant value as replicated
};

// An operation of the device, or a collective.
struct FlowStep {
  std::string operation;  // its name in sim/device.h, or the collective's
  std::string site;       // "block 0/attn"
  Phase phase;
  std::vector<FlowRead> reads;
  std::vector<int> writes;  // values
  std::vector<FlowWeight> weights;
  std::optional<Event> collective;
};

// Where it ran, for people: its site; outside of all modules the one whose weight it uses (the
// final norm stands in none), or its operation.
std::string place_of(const FlowStep& step, const ShardPlan& plan);

struct Flow {
  std::vector<FlowValue> values;
  std::vector<FlowStep> steps;
};

// Records a rank on the meta device. Threads: one rank's.
class FlowRecorder final : public Recorder {
 public:
  // From here on, what is read from these is a weight. Forgets the steps that filled them.
  void know(const FlatParameters& parameters);
  Flow take() && { return std::move(flow_); }

  void begin(const Rank& rank) override { rank_ = &rank; }
  void placed(const Array& array, std::string_view placement) override;
  void shown(const Shown& tensor, Device& device) override;
  void computed(const Computation& computation) override;
  void before(const Post& call, const Array& in) override;
  void after(const Event& event, const Array& out) override;

 private:
  struct Memory {  // whose numbers lie from here to `end`
    const std::byte* end;
    int value;
    // By the latest statement, which is the module's that made it: enter() in a layer does not make
    // the stream beside that layer replicated.
    std::string_view placement;
    const Site* stated_at;
  };

  FlowStep step_here(std::string operation) const;
  void read(FlowStep& step, const Array& array);
  void write(FlowStep& step, const Array& array);
  bool is_weight(FlowStep& step, const Array& array) const;
  bool is_gradient(const Array& array) const;
  Memory* memory_at(const Array& array);  // null if nobody wrote there

  const Rank* rank_ = nullptr;
  std::optional<FlatParameters> parameters_;
  Flow flow_;
  std::map<const std::byte*, Memory> memory_;  // by where it begins
  FlowStep collective_;                        // between before() and after()
};

}  // namespace tplab
