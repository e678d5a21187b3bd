// What the figures of this paper are written with.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/harness/settings.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/attractors.h"
#include "experiments/memorization/digits.h"
#include "experiments/memorization/fixed_points.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/linear_conv.h"
#include "experiments/memorization/networks.h"
#include "experiments/memorization/norms.h"
#include "experiments/memorization/representations.h"
#include "experiments/memorization/settings.h"
#include "experiments/memorization/theory.h"
#include "models/dynamics/spectrum.h"
