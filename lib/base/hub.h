// Names of models of the Hugging Face hub, "org/name", where a folder is expected. Nothing is fetched: what
// huggingface_hub has in its cache is found, and for the rest the command that downloads it is said.
#pragma once

#include <string>

namespace temper {

// Whether the text has the form of such a name and is no path that is there.
bool is_hub_name(const std::string& text);

// The folder of a model in the hub's cache: the revision of its branch main, else the newest that has a
// config.json; empty: it is not there. The cache is HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub.
std::string cached_model(const std::string& name);

// The name of a model whose cached folder this is; empty: it is none.
std::string hub_name_of(const std::string& folder);

// "neither a folder nor in the hub's cache; `hf download org/name --local-dir models/name` fetches it".
std::string not_cached(const std::string& name);

// What a program's option means that takes a model: the cached folder of a name of the hub, which is told on
// the console; else the text as it is. Throws UserError for such a name that is not in the cache.
std::string model_folder(const std::string& text);

}  // namespace temper
