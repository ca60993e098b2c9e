// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/clip_grad_norm.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/ema.hpp"
#include "contrapunto/optim/ema_scope.hpp"
#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/multiply_learning_rates.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/optim/sharded_adamw.hpp"
