// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/callable_teacher.hpp"
#include "contrapunto/step/choose_chunk_size.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/step/parse_chunk_size.hpp"
#include "contrapunto/step/step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"
