// What a TCP socket has received.
#pragma once

#include <cstdint>
#include <optional>

namespace temper {

// Bytes that came in, whether read or not (TCP_INFO's tcpi_bytes_received, Linux 4.1); nullopt: not known.
std::optional<uint64_t> socket_bytes_received(int socket);

}  // namespace temper
