#pragma once

namespace temper {

const char* version();  // "0.2.0", as CMakeLists.txt has it

}  // namespace temper
