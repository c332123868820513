class SoftmaxGP:
    pass
