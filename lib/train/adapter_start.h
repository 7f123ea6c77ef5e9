// What a fresh adapter may take its first values from in a run: its data and its tokenizer.
#pragma once

#include "adapter/adapter.h"

namespace temper {

class Session;

// Samples are training records in the order in which the run draws them: whole examples in supervised runs
// and distillation, prompts elsewhere. Of files of their own they are what each record holds, a prompt alone
// where there is nothing else. Those that are too long are passed over. The session must outlive it.
AdapterStart adapter_start(const Session& session);

}  // namespace temper
