// What the figures of this paper are written with.
#pragma once
#include <algorithm>
#include <cmath>

#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/image_training.h"
#include "experiments/online_sgd/simulation/network.h"
