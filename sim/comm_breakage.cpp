#include "sim/comm_breakage.h"

namespace tplab {
namespace {

class BrokenAgreement final : public Agreement {
 public:
  BrokenAgreement(std::unique_ptr<Agreement> honest, Rank& rank, const CommBreakage& breakage)
      : Agreement(honest->rank(), honest->size(), honest->axis()),
        honest_(std::move(honest)),
        rank_(rank),
        breakage_(breakage) {}

  void agree(const Post& call) override {
    breakage_.before(rank_, call);
    honest_->agree(call);
  }
  std::vector<std::string> gather(const Post& call, const std::string& mine) override {
    return honest_->gather(call, mine);
  }
  std::unique_ptr<Agreement> split(const Post& call, int color, int key) override {
    return honest_->split(call, color, key);
  }

 private:
  std::unique_ptr<Agreement> honest_;
  Rank& rank_;
  const CommBreakage& breakage_;
};

class BrokenTransport final : public Transport {
 public:
  BrokenTransport(std::unique_ptr<Transport> honest, Rank& rank, const CommBreakage& breakage)
      : honest_(std::move(honest)), rank_(rank), breakage_(breakage) {}

  int64_t move(const Post& call, const Array& in, Array& out) override {
    return breakage_.move(*honest_, rank_, call, in, out);
  }
  std::unique_ptr<Transport> split(Agreement& part) override { return honest_->split(part); }

 private:
  std::unique_ptr<Transport> honest_;
  Rank& rank_;
  const CommBreakage& breakage_;
};

}  // namespace

std::unique_ptr<Agreement> broken(std::unique_ptr<Agreement> honest, Rank& rank,
                                  const CommBreakage& breakage) {
  if (!breakage.before) return honest;
  return std::make_unique<BrokenAgreement>(std::move(honest), rank, breakage);
}

std::unique_ptr<Transport> broken(std::unique_ptr<Transport> honest, Rank& rank,
                                  const CommBreakage& breakage) {
  if (!breakage.move) return honest;
  return std::make_unique<BrokenTransport>(std::move(honest), rank, breakage);
}

}  // namespace tplab
