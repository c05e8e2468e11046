import gc

# MMEngine's data sets collect garbage when they are built, which takes half a second for all that
# the imports have made; hundreds are built here.
gc.freeze()
