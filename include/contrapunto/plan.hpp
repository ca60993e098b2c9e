// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/plan/announce_plan.hpp"
#include "contrapunto/plan/learning_rate_curve.hpp"
#include "contrapunto/plan/plan_finding.hpp"
#include "contrapunto/plan/run_plan.hpp"
#include "contrapunto/plan/schedule_settings.hpp"
