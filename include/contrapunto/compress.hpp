// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/compress/add_teacher_readings.hpp"
#include "contrapunto/compress/compression_stages.hpp"
#include "contrapunto/compress/distillation_loss.hpp"
#include "contrapunto/compress/extract_pruned.hpp"
#include "contrapunto/compress/hard_concrete.hpp"
#include "contrapunto/compress/inherit_weights.hpp"
#include "contrapunto/compress/load_image_weights.hpp"
#include "contrapunto/compress/load_teacher.hpp"
#include "contrapunto/compress/load_teachers.hpp"
#include "contrapunto/compress/measure_importance.hpp"
#include "contrapunto/compress/pruning_masks.hpp"
#include "contrapunto/compress/stage_result.hpp"
#include "contrapunto/compress/stored_teacher.hpp"
#include "contrapunto/compress/teacher_checksum.hpp"
#include "contrapunto/compress/teacher_inputs.hpp"
#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/compress/transformer_units.hpp"
#include "contrapunto/compress/unit_importance.hpp"

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/compress/build_teacher_store.hpp"
#endif
