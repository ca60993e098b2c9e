// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/autograd/recompute_scope.hpp"
#include "contrapunto/autograd/rng_state.hpp"
