// A recorded collective as a picture: ranks from left to right, steps from top to bottom.
#pragma once

#include <string>

#include "viz/drawing/picture.h"
#include "viz/recording/collective_record.h"

namespace tplab {

// REQUIRES: check(record) has passed.
Graph collective_graph(const CollectiveRecord& record);
std::string collective_text(const CollectiveRecord& record, const TextStyle& style);

}  // namespace tplab
