// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/loss/column_blocks.hpp"
#include "contrapunto/loss/full_precision.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/local_info_nce.hpp"
#include "contrapunto/loss/log_sums.hpp"
#include "contrapunto/loss/nt_xent.hpp"
#include "contrapunto/loss/over_ranks.hpp"
#include "contrapunto/loss/pair_tiles.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "contrapunto/loss/wide_product.hpp"
