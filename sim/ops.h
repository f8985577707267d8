// What each rank computes alone, typed: a header a family in ops/, all of them here.
#pragma once

#include "sim/ops/list.h"
