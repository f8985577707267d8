// A recorded collective as a picture: ranks from left to right, steps from top to bottom.
#pragma once

#include <string>

#include "viz/collective_record.h"
#include "viz/picture.h"

namespace tplab {

// REQUIRES: check(record) has passed.
Graph collective_graph(const CollectiveRecord& record);
std::string collective_text(const CollectiveRecord& record, const TextStyle& style);

}  // namespace tplab
