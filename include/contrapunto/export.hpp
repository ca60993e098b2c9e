// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/export/average_states.hpp"
#include "contrapunto/export/graph.hpp"
#include "contrapunto/export/graph_agreement.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/export/input_metadata.hpp"
#include "contrapunto/export/model_graph.hpp"
#include "contrapunto/export/reference_inputs.hpp"
#include "contrapunto/export/run_graph.hpp"
#include "contrapunto/export/write_hugging_face.hpp"
#include "contrapunto/export/write_open_clip.hpp"

#ifdef CONTRAPUNTO_HAS_EXPORT
#include "contrapunto/export/write_onnx.hpp"
#include "contrapunto/export/write_saved_model.hpp"
#endif
