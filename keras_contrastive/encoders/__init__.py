"""Published backbones, of keras-hub, keras-nlp, keras-cv or Keras itself, as towers; none is imported until asked."""

from keras_contrastive.encoders.encoder import Encoder as Encoder
from keras_contrastive.encoders.towers import BackboneBias as BackboneBias
from keras_contrastive.encoders.towers import BackboneTemperature as BackboneTemperature
from keras_contrastive.encoders.towers import Towers as Towers
from keras_contrastive.encoders.towers import towers as towers
