"""Write tests/data/tensorflow: files of Keras 2, of TensorFlow 1's Saver, and of tf2onnx.

    pip install "tensorflow-cpu==2.15.*" "tf2onnx==1.16.1" "onnx==1.16.2"      # Python 3.11
    python tests/write_tensorflow_files.py write

Run by hand, in an environment of its own; numlstm is not imported, since this TensorFlow wants an
older NumPy. The other way round, with a TensorFlow that has Keras 3,

    pip install tensorflow-cpu tf2onnx -e '.[interop]'
    python tests/write_tensorflow_files.py check

puts our weights into real Keras layers, which must compute what ours do, and reads them back from
its files, and from models that tf2onnx made of it. Nothing is written.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from keras_archives import compress

FOLDER = Path(__file__).parent / "data" / "tensorflow"
N, T, D, H, R = 3, 5, 2, 3, 2


def stacked(keras, bidirectional):
    """Return a Keras model of two LSTM layers with something between them, and a dense one."""
    layers = keras.layers

    def lstm(**options):
        layer = layers.LSTM(H, **options)
        return layers.Bidirectional(layer) if bidirectional else layer

    x = keras.Input((None, D), name="x")
    y = layers.Dropout(0.3)(lstm(return_sequences=True)(x))
    y = lstm(return_sequences=True)(y)
    return keras.Model(x, y), keras.Model(x, layers.Dense(1)(y))


def to_onnx(model, path):
    """Write a Keras model as tf2onnx does, for any number of rows and steps."""
    import tensorflow as tf
    import tf2onnx

    signature = (tf.TensorSpec((None, None, D), tf.float32, name="x"),)
    tf2onnx.convert.from_keras(model, input_signature=signature, opset=13, output_path=str(path))


def flat(arrays):
    """Return all numbers of arrays, one array after the other: an entry of a file is large."""
    return np.concatenate([np.ravel(array) for array in arrays])


def write_keras(rng, X, results):
    """Write Keras models, in one direction and in both, as files and through tf2onnx."""
    from tensorflow import keras

    for name, bidirectional in (("stack", False), ("bidirectional", True)):
        layers, whole = stacked(keras, bidirectional)
        weights = [rng.normal(size=w.shape).astype("f") for w in whole.get_weights()]
        whole.set_weights(weights)
        to_onnx(whole, FOLDER / f"tf2onnx_{name}.onnx")
        whole.save(FOLDER / f"{name}.keras")
        compress(FOLDER / f"{name}.keras")
        results[f"{name}.outputs"] = layers.predict(X, verbose=0)
        results[f"{name}.weights"] = flat(layers.get_weights())


def write_checkpoint(rng, X, results):
    """Train two LSTMCells for a step, save them by a Saver, and read all variables back."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session, tempfile.TemporaryDirectory() as folder:
        cells = [
            v1.nn.rnn_cell.LSTMCell(H, use_peepholes=True, num_proj=R, cell_clip=0.5)
            for _ in range(2)
        ]
        cell = v1.nn.rnn_cell.MultiRNNCell(cells)
        x = tf.constant(X)
        outputs, _ = v1.nn.dynamic_rnn(cell, x, dtype=tf.float32)
        step = v1.train.get_or_create_global_step()
        loss = tf.reduce_sum(outputs**2)
        train = v1.train.GradientDescentOptimizer(0.01).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        for variable in v1.trainable_variables():
            variable.load(rng.normal(size=variable.shape.as_list()), session)
        session.run(train)
        path = v1.train.Saver().save(session, str(Path(folder, "model")), global_step=step)
        results["checkpoint.outputs"] = session.run(outputs)
        results["checkpoint.weights"] = flat(w for cell in cells for w in cell.get_weights())
        reader = tf.train.load_checkpoint(path)
        names = reader.get_variable_to_shape_map()
        arrays = {name: reader.get_tensor(name) for name in names}
        np.savez_compressed(FOLDER / "checkpoint.npz", **arrays)


def write():
    import tensorflow as tf

    FOLDER.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    results = {"X": rng.normal(size=(N, T, D)).astype("f")}
    write_keras(rng, results["X"], results)
    tf.compat.v1.disable_v2_behavior()
    write_checkpoint(rng, results["X"], results)
    np.savez_compressed(FOLDER / "results.npz", **results)


def check():
    import keras
    from write_foreign_files import assert_same

    from numlstm import LSTM, interop

    X = np.random.default_rng(0).normal(size=(N, T, D)).astype("f")
    for bidirectional in (False, True):
        lstm = LSTM(D, H, n_layers=2, bidirectional=bidirectional)
        layers, whole = stacked(keras, bidirectional)
        layers.set_weights([array for layer in interop.to_keras(lstm) for array in layer])
        np.testing.assert_allclose(layers.predict(X, verbose=0), lstm(X)[0], atol=1e-6)
        with tempfile.TemporaryDirectory() as folder:
            keras_file, onnx_file = Path(folder, "model.keras"), Path(folder, "model.onnx")
            whole.save(keras_file)
            assert_same(interop.from_keras(keras_file), lstm)
            whole.save_weights(keras_file.with_name("model.weights.h5"))
            assert_same(interop.from_keras(keras_file.with_name("model.weights.h5")), lstm)
            to_onnx(whole, onnx_file)
            assert_same(interop.from_onnx(onnx_file), lstm)


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
