// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/data/augmentation_settings.hpp"
#include "contrapunto/data/check_labels.hpp"
#include "contrapunto/data/csv.hpp"
#include "contrapunto/data/csv_source.hpp"
#include "contrapunto/data/data_report.hpp"
#include "contrapunto/data/data_settings.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/epoch_order.hpp"
#include "contrapunto/data/folder_source.hpp"
#include "contrapunto/data/image_cache_recipe.hpp"
#include "contrapunto/data/image_reading.hpp"
#include "contrapunto/data/index_shards.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/loader_statistics.hpp"
#include "contrapunto/data/open_data_source.hpp"
#include "contrapunto/data/replayed_views.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/shard_index.hpp"
#include "contrapunto/data/shard_list.hpp"
#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/data/skipped_sample_file.hpp"
#include "contrapunto/data/source_options.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/data/tar_reader.hpp"
#include "contrapunto/data/teacher_feature_names.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/data/teacher_store_info.hpp"
#include "contrapunto/data/text_pair_loader.hpp"
#include "contrapunto/data/text_pairs.hpp"
#include "contrapunto/data/text_reading.hpp"
#include "contrapunto/data/view_name.hpp"

#ifdef CONTRAPUNTO_HAS_IMAGE
#include "contrapunto/data/cached_source.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/with_image_cache.hpp"
#else
#include "contrapunto/data/detail/without_image.hpp"
#endif
