// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/schedule/duration.hpp"
#include "contrapunto/schedule/learning_rate_scaling.hpp"
#include "contrapunto/schedule/learning_rate_schedule.hpp"
#include "contrapunto/schedule/phase_request.hpp"
#include "contrapunto/schedule/phase_watch.hpp"
#include "contrapunto/schedule/run_length.hpp"
#include "contrapunto/schedule/run_phase.hpp"
#include "contrapunto/schedule/warmup_constant.hpp"
#include "contrapunto/schedule/warmup_constant_cooldown.hpp"
#include "contrapunto/schedule/warmup_cosine.hpp"
#include "contrapunto/schedule/with_phases.hpp"
