// A WeightSource over tensors in files: what is left once a format's names and headers are read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/files/file_tensor.h"
#include "model/weights.h"

namespace tplab {

using FileTensors = std::map<std::string, FileTensor, std::less<>>;  // under nanoGPT's names

// check(config), as Error(bad_file).
void check_file_config(const GptConfig& config, const std::string& path);

// Throws Error(bad_file), which begins with `path` and lists the names as the file has them, unless
// the tensors are exactly named_tensors(architecture): none missing, none extra, the right shapes,
// types that are weights. `notes`: what the source is to say (WeightSource::notes).
std::unique_ptr<WeightSource> make_file_weights(const Architecture& architecture,
                                                FileTensors tensors, const std::string& path,
                                                const std::string& description,
                                                std::vector<std::string> notes = {});

}  // namespace tplab
