// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/any_update_rule.hpp"
#include "contrapunto/optim/beta2_for_batch.hpp"
#include "contrapunto/optim/clip_grad_norm.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/ema.hpp"
#include "contrapunto/optim/ema_scope.hpp"
#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/lamb.hpp"
#include "contrapunto/optim/lion.hpp"
#include "contrapunto/optim/multiply_learning_rates.hpp"
#include "contrapunto/optim/muon.hpp"
#include "contrapunto/optim/newton_schulz.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/optim/sharded_optimizer.hpp"
#include "contrapunto/optim/stable_adamw.hpp"
#include "contrapunto/optim/step_scaling.hpp"
#include "contrapunto/optim/update_rule.hpp"
