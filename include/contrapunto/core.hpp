// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/error_text.hpp"
#include "contrapunto/core/gates.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/keeps_float32.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/core/mixed_label_names.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/core/run_progress.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/core/step_record.hpp"
#include "contrapunto/core/unit_rows.hpp"
