"""The recipe of the base model that ships with the package.

A small model of SDXL's architecture, trained on drawn skins alone, so that the whole pipeline runs, trains
and draws on a machine with no GPU, no network and no downloaded weights. Nobody has to run the recipe to use
it: the weights are in ``skin_pipeline/weights``.

Stages (``kedro run --pipeline=base_model``): drawings → autoencoder's encoder in closed form → its decoder,
and beside it the UNet, both text encoders and a ControlNet together → a diffusers pipeline folder.
"""
