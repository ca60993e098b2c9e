// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/binary_cross_entropy.hpp"
#include "contrapunto/loss/class_loss.hpp"
#include "contrapunto/loss/feature_distillation.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/interactive_loss.hpp"
#include "contrapunto/loss/local_info_nce.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/matryoshka_loss.hpp"
#include "contrapunto/loss/negative_queue.hpp"
#include "contrapunto/loss/nt_xent.hpp"
#include "contrapunto/loss/pairwise_logsumexp.hpp"
#include "contrapunto/loss/queued_loss.hpp"
#include "contrapunto/loss/sigmoid_distillation.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/loss/softmax_cross_entropy.hpp"
#include "contrapunto/loss/students_loss.hpp"
#include "contrapunto/loss/tile_options.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
