// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/towers/activation_memory.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/checkpoint_activations.hpp"
#include "contrapunto/towers/clip_adamw_options.hpp"
#include "contrapunto/towers/config_of_state.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/image_normalizer.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/model_facts.hpp"
#include "contrapunto/towers/modified_resnet.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "contrapunto/towers/read_model_config.hpp"
#include "contrapunto/towers/text_transformer.hpp"
#include "contrapunto/towers/vision_transformer.hpp"
#include "contrapunto/towers/write_model_config.hpp"
