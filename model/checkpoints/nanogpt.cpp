#include "model/checkpoints/nanogpt.h"

#include <fmt/format.h>

#include "model/checkpoints/nanogpt_state.h"
#include "model/checkpoints/tensor_names.h"
#include "model/files/torch_file.h"
#include "sim/error.h"

namespace tplab {

std::unique_ptr<WeightSource> open_nanogpt(const std::string& path) {
  return open_nanogpt(open_file(path));
}

std::unique_ptr<WeightSource> open_nanogpt(const std::shared_ptr<const ByteSource>& file) {
  TorchFile saved(file);
  const std::string& path = saved.path();
  NanoGptState state = read_nanogpt_state(saved.document(), path);
  KnownTensors named = name_tensors(saved.locate(state.model));
  FileTensors& tensors = named.tensors;

  // nanoGPT ties the head, but a copy may have been saved. Only if it differs is it a head.
  take_head_for_embedding(tensors);
  const auto head = tensors.find(head_name()), wte = tensors.find(embedding_name());
  state.config.tied_head = head == tensors.end() || are_equal(head->second, wte->second);
  if (state.config.tied_head && head != tensors.end()) tensors.erase(head);

  std::string description = "nanoGPT checkpoint " + path;
  if (state.iteration) description += fmt::format(", iteration {}", *state.iteration);
  for (const auto& [name, kind] : state.model.others) named.unread.push_back(name);
  for (std::string& note : unread_note(named.unread)) state.notes.push_back(std::move(note));
  return make_file_weights(state.config, std::move(tensors), path, description, state.notes);
}

}  // namespace tplab
