"""placeholder"""
def verify(reader, network):
    pass
