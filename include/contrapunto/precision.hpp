// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/precision/apply_precision.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/cast_weights.hpp"
#include "contrapunto/precision/loss_scaler.hpp"
#include "contrapunto/precision/precision_policy.hpp"
