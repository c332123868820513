"""float64 for answers, also from devices that have no such numbers."""

# Types of accelerators whose numbers are float32 at most.
WITHOUT_FLOAT64 = {"mps"}


def has_float64(device_type):
    """Whether devices of a type have float64."""
    return device_type not in WITHOUT_FLOAT64


def double(tensor):
    """The tensor in float64; on the CPU where its device has none."""
    if not has_float64(tensor.device.type):
        tensor = tensor.cpu()
    return tensor.double()
