// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/activation_checkpoint.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/attention_pool.hpp"
#include "contrapunto/nn/attention_pool_2d.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/bottleneck.hpp"
#include "contrapunto/nn/convolution.hpp"
#include "contrapunto/nn/freeze_batch_norm.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/mlp.hpp"
#include "contrapunto/nn/parameter_count.hpp"
#include "contrapunto/nn/patch_dropout.hpp"
#include "contrapunto/nn/patch_embedding.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"
#include "contrapunto/nn/sync_batch_norm.hpp"
#include "contrapunto/nn/transformer.hpp"
