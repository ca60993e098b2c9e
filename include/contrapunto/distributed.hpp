// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/broadcast_tensors.hpp"
#include "contrapunto/distributed/communicator.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/gather_with_gradient.hpp"
#include "contrapunto/distributed/gradient_sync.hpp"
#include "contrapunto/distributed/join_ranks.hpp"
#include "contrapunto/distributed/launch_environment.hpp"
#include "contrapunto/distributed/on_first_rank.hpp"
#include "contrapunto/distributed/pending_tensor.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/rank_watchdog_options.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/distributed/samples_per_rank.hpp"
#include "contrapunto/distributed/single_process.hpp"

#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/process_group.hpp"
#include "contrapunto/distributed/rank_watchdog.hpp"
#endif
