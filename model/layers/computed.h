// What of an architecture the layers compute: it may be described before they do.
#pragma once

#include "model/architecture.h"

namespace tplab {

// Throws Error(unavailable) that names the family and all that is missing.
void require_computed(const Architecture& architecture);

}  // namespace tplab
