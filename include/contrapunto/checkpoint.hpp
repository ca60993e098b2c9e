// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/checkpoint/checkpoint.hpp"
#include "contrapunto/checkpoint/checkpoint_folder.hpp"
#include "contrapunto/checkpoint/checkpoint_parts.hpp"
#include "contrapunto/checkpoint/generator_state.hpp"
#include "contrapunto/checkpoint/module_state.hpp"
#include "contrapunto/checkpoint/retention_policy.hpp"
#include "contrapunto/checkpoint/run_folder.hpp"
