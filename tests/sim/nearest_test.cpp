// The word that was meant, and none where none was.
#include "sim/text/nearest.h"

#include <catch2/catch.hpp>

using namespace tplab;

TEST_CASE(
    "nearest: a slip of a letter, of two that changed places, or of capitals is seen through") {
  const std::vector<std::string> words = {"logits", "loss", "activation.ln1", "activation.ln2",
                                          "train.grad_norms"};
  CHECK(nearest("Logits", words) == "logits");
  CHECK(nearest("lgoits", words) == "logits");
  CHECK(nearest("logit", words) == "logits");
  CHECK(nearest("losss", words) == "loss");
  CHECK(nearest("--loss", words) == "loss");
  CHECK(nearest("activation.ln_2", words) == "activation.ln2");
  CHECK(nearest("train-grad_norms", words) == "train.grad_norms");
  CHECK(nearest("train", words) == "train.grad_norms");  // what it begins
}

TEST_CASE("nearest: what is like none of the words, or like the beginning of several, is none") {
  const std::vector<std::string> words = {"logits", "loss", "activation.ln1", "activation.ln2"};
  CHECK(nearest("softmax", words).empty());
  CHECK(nearest("activation", words).empty());
  CHECK(nearest("", words).empty());
  CHECK(nearest("x", words).empty());
  CHECK(nearest(std::string(100000, 'l'), words).empty());
  CHECK(nearest("logits", {}).empty());
}
